//! The ways to bring a replacement up before the old pod goes.

pub mod crew;
pub mod detach;
pub mod family;
