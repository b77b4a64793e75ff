//! How a node is emptied: the plan, the ways to surge, and the engine that carries a plan out.
//!
//! Pure like `cluster-model`: the engine is a synchronous state machine that is fed with what happened and answers
//! with what to do. The crate `evacuation-runner` does it.
//!
//! * [`request::DrainRequest`] is what was asked for, resolved.
//! * [`plan::build`] makes a [`plan::DrainPlan`] of a snapshot; a dry run prints it, a run executes that very value.
//! * [`surge::detach`] holds the rules under which a pod can be handed over.
//! * [`guests`] says what the plan holds of virtual machines.
//! * [`engine::Engine`] turns inputs into commands and events.

pub mod engine;
pub mod event;
pub mod guests;
pub mod plan;
pub mod request;
pub mod surge;
pub mod wait;
