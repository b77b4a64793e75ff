//! The stand-in for KubeVirt answers as the genuine one was seen to.

mod observed;
pub(crate) mod timelines;
