//! Cluster API documents as the genuine controllers write them.
