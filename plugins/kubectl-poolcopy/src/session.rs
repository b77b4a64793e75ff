//! What every run needs: the connections, the words, and who makes what is made.

use api_access::{ApiAccess, CallError, Patience};
use cluster_model::identity::NodeName;
use jiff::Timestamp;
use kubectl_common::connect::{Connection, connect};
use kubectl_common::failure::{Failure, shell_word};
use kubectl_common::report::Output;
use kubectl_common::terminal::Terminal;
use node_pools::finding::Refusal;
use node_pools::inventory::KindName;
use node_pools::mark::Maker;
use node_pools::pool::{Pool, ProviderName};
use node_pools::provider::{PoolProvider, PoolReader};
use node_pools::providers;
use node_pools::step::Step;
use node_pools_runner::Places;
use node_pools_runner::look::LookError;

use crate::failure::PoolError;
use crate::job::Job;

/// The most objects in a page.
const LARGEST_PAGE: u32 = 250;

/// A connected run.
pub(crate) struct Session {
    pub(crate) job: Job,
    pub(crate) output: Output,
    pub(crate) terminal: Terminal,
    pub(crate) places: Places,
    /// The cluster of the nodes.
    pub(crate) workload: Connection,
    /// The cluster of the pools' objects, where it is another one.
    pub(crate) management: Option<Connection>,
    pub(crate) providers: Vec<Box<dyn PoolProvider>>,
    pub(crate) maker: Maker,
    pub(crate) started: Timestamp,
}

impl Session {
    /// Connects to one cluster or two.
    pub(crate) async fn open(job: Job, output: Output, terminal: Terminal) -> Result<Self, Failure> {
        let workload = connect(&job.kube, job.plugin, &job.environment).await?;
        let management = match &job.management_context {
            None => None,
            Some(context) => Some(connect(&job.kube.of_context(context), job.plugin, &job.environment).await?),
        };
        let access = |connection: &Connection| {
            let voice = output.clone();
            ApiAccess {
                client: connection.client.clone(),
                request_timeout: connection.request_timeout,
                field_manager: job.field_manager.clone(),
                chunk_size: job.chunk_size.min(LARGEST_PAGE),
                patience: Patience::new(move |line| voice.note(line)),
            }
        };
        let places =
            Places { management: access(management.as_ref().unwrap_or(&workload)), workload: access(&workload) };
        let started = now();
        let maker = Maker {
            run: format!("{:x}-{:x}", started.as_second(), std::process::id()),
            user: workload.cluster.user.clone(),
            at: started,
            version: format!("{}/{}", job.plugin.name, job.plugin.version),
        };
        let mut providers = providers::all(&job.pool);
        if management.is_some() {
            // Everybody else's pools are where their nodes are.
            providers.retain(|one| matches!(one.name(), ProviderName::ClusterApi | ProviderName::Labels));
        }
        Ok(Self { job, output, terminal, places, workload, management, providers, maker, started })
    }

    /// Returns the connection to the cluster of the pools' objects.
    pub(crate) fn of_pools(&self) -> &Connection {
        self.management.as_ref().unwrap_or(&self.workload)
    }

    /// Returns the kinds that tell of pools.
    pub(crate) fn kinds(&self) -> Vec<KindName> {
        self.providers.iter().flat_map(|provider| provider.kinds()).copied().collect()
    }

    /// Returns the providers, as far as they tell of pools.
    pub(crate) fn readers(&self) -> impl Iterator<Item = &dyn PoolReader> {
        self.providers.iter().map(|provider| -> &dyn PoolReader { &**provider })
    }

    /// Returns where a step is sent.
    pub(crate) fn place_of(&self, step: &Step) -> &ApiAccess {
        let is_node = step.target().is_some_and(|target| target.resource.group.is_empty());
        if is_node { &self.places.workload } else { &self.places.management }
    }

    /// Ends when `--timeout` is over; never without one.
    pub(crate) async fn timeout(&self) {
        match self.job.timeout {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    }

    /// Puts a look that failed into words.
    pub(crate) fn look_failed(&self, error: &LookError) -> Failure {
        let connection = if error.is_management { self.of_pools() } else { &self.workload };
        call_failed(connection, &error.source, &error.attempt)
    }

    /// Puts a step that failed into words.
    pub(crate) fn step_failed(&self, error: &CallError, step: &Step) -> Failure {
        let is_node = step.target().is_some_and(|target| target.resource.group.is_empty());
        let connection = if is_node { &self.workload } else { self.of_pools() };
        call_failed(connection, error, &step.to_string())
    }

    /// Returns a command line of this plugin about a pool, with the flags that make it the same one.
    pub(crate) fn command(&self, pool: &str, flags: &str) -> String {
        let namespace = self.job.namespace.as_ref().map(|name| format!(" -n {name}")).unwrap_or_default();
        let management = self
            .job
            .management_context
            .as_ref()
            .map(|name| format!(" --management-context {name}"))
            .unwrap_or_default();
        let flags = if flags.is_empty() { String::new() } else { format!(" {flags}") };
        self.workload.kubectl(&format!("{} {pool}{namespace}{management}{flags}", self.job.plugin.name))
    }
}

impl Session {
    /// Returns the command line that hands the work of a pool's nodes over, to another pool if there is one.
    pub(crate) fn drain(&self, pool: &Pool, onto: Option<&Pool>, nodes: &[NodeName]) -> String {
        if self.management.is_some() {
            // Where the pools' objects are in another cluster, safedrain does not see them.
            let mut names: Vec<_> = nodes.iter().map(|node| node.0.as_str()).collect();
            names.sort_unstable();
            return self.workload.kubectl(&format!("safedrain {}", names.join(" ")));
        }
        let word = |pool: &Pool| shell_word(pool.known_as()).into_owned();
        let onto = onto.map(|onto| format!(" --onto {}", word(onto))).unwrap_or_default();
        let namespace = self.job.namespace.as_ref().map(|name| format!(" -n {name}")).unwrap_or_default();
        self.workload.kubectl(&format!("safedrain --pool {}{onto}{namespace}", word(pool)))
    }
}

/// Refuses, with the words of the plan.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    PoolError::Refused { refusal: Box::new(refusal) }.into()
}

fn call_failed(connection: &Connection, error: &CallError, attempt: &str) -> Failure {
    match error {
        CallError::Client(error) => connection.explain(error, attempt).into(),
        CallError::Timeout(limit) => connection.no_answer(attempt, *limit).into(),
    }
}

/// The wall clock, for what is written down.
#[expect(clippy::disallowed_methods, reason = "a run reads the clock where it begins and ends")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
