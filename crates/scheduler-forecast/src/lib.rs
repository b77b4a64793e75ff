//! What the scheduler would do: pure rules over the objects that it looks at.
//!
//! [`cluster::Cluster`] holds nodes, pods and storage; [`candidate::Candidate`] is a pod to place;
//! [`cluster::Cluster::judge`] tells for each node whether it takes the pod or which of the scheduler's filters rejects it
//! first. That is exact: the tests compare it with kube-scheduler's own code. Which of the nodes that take a pod the
//! scheduler chooses is scored, and partly chance, and is never said.
//!
//! Rules and names are those of the default profile of v1.37. What the objects do not tell (device claims, other
//! schedulers, a scheduler's own configuration) is unknown, and said to be.

pub mod affinity;
mod bounds;
pub mod candidate;
pub mod cluster;
mod filters;
pub mod imagined;
pub mod in_tree;
pub mod judge;
mod keepers;
pub mod node;
pub mod outlook;
pub mod quota;
pub mod rejection;
pub mod resident;
mod spite;
pub mod storage;
mod template;
pub mod tie;
mod trial;
pub mod volume;

pub use candidate::Candidate;
pub use cluster::Cluster;
pub use judge::{Judgement, Verdict};
pub use outlook::{Fits, Move, Outlook, Prospect, Question, outlook};
pub use rejection::{Plugin, Reason, Rejection};
