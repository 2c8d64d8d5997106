//! pipeline

pub mod source;
