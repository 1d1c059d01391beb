//! Floor 2: tests
