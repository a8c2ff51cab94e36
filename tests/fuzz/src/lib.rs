//! One fuzz target a parser, with corpora replayed as tests.
