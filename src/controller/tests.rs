//! Cases of spec/endpoints.md, by number.
