//! criterion benches for every hot verb, beside the best library.
#![forbid(unsafe_code)]
