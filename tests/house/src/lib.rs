//! Tests of the workspace itself: layers and purity of the cores.
