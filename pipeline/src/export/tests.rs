//! Parts, whole or not at all.
