//! pipeline

pub mod block;
pub mod parse;
pub mod split;
