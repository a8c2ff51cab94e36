//! Mobile node, foreign agent and home agent.
