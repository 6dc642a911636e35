//! What the benches share: nothing yet but this page. See `benches/README.md` for how to run them and the last numbers.
