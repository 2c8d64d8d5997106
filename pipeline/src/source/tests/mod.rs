//! Sources as a job reads them.
