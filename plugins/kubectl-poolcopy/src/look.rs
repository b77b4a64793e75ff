//! Which pools there are, and which one is meant.

use kubectl_common::failure::Failure;
use node_pools::directory::{Directory, NotFound, Wanted};
use node_pools::inventory::Inventory;
use node_pools::pool::{Pool, ProviderName};
use node_pools::provider::PoolProvider;
use node_pools_runner::look;

use crate::failure::PoolError;
use crate::session::{Session, refused};

/// All pools of all providers.
pub(crate) struct Looked {
    pub(crate) inventory: Inventory,
    pub(crate) directory: Directory,
}

/// A pool that was chosen, with everything that a plan about it needs.
pub(crate) struct Chosen<'a> {
    pub(crate) provider: &'a dyn PoolProvider,
    pub(crate) inventory: Inventory,
    pub(crate) pool: Pool,
    /// The kinds that were read because of it.
    kinds: Vec<(String, String)>,
}

/// Looks at the cluster.
pub(crate) async fn pools(session: &Session) -> Result<Looked, Failure> {
    session.output.status("looking at the cluster");
    let inventory = look::look(&session.places, &session.kinds()).await;
    session.output.clear_status();
    let inventory = inventory.map_err(|error| session.look_failed(&error))?;
    let directory = Directory::read(&inventory, session.readers());
    Ok(Looked { inventory, directory })
}

/// Finds the pool that the command line names.
pub(crate) async fn choose(session: &Session) -> Result<Chosen<'_>, Failure> {
    let looked = pools(session).await?;
    let pool = find(session, &looked)?;
    let provider = provider_of(session, pool.provider)
        .ok_or_else(|| PoolError::NotBuilt { name: pool.name.clone(), provider: pool.description.clone() })?;
    let mut chosen = Chosen { provider, inventory: looked.inventory, pool, kinds: Vec::new() };
    chosen.kinds = provider.kinds_beside(&chosen.inventory, &chosen.pool);
    read_beside(session, &mut chosen).await?;
    provider.check_place(&chosen.inventory, &chosen.pool).map_err(refused)?;
    Ok(chosen)
}

/// Looks again at everything that the plan about a pool needs; the pool itself may be gone by now.
pub(crate) async fn again(session: &Session, chosen: &mut Chosen<'_>) -> Result<(), Failure> {
    chosen.inventory =
        look::look(&session.places, &session.kinds()).await.map_err(|error| session.look_failed(&error))?;
    read_beside(session, chosen).await?;
    let same = |pool: &Pool| pool.object == chosen.pool.object && pool.uid == chosen.pool.uid;
    if let Some(pool) = chosen.provider.pools(&chosen.inventory).into_iter().find(same) {
        chosen.pool = pool;
    }
    Ok(())
}

async fn read_beside(session: &Session, chosen: &mut Chosen<'_>) -> Result<(), Failure> {
    let namespace = chosen.pool.object.as_ref().and_then(|object| object.namespace.clone());
    look::beside(&session.places.management, &mut chosen.inventory, &chosen.kinds, namespace.as_deref())
        .await
        .map_err(|error| session.look_failed(&error))?;
    Ok(())
}

fn provider_of(session: &Session, name: ProviderName) -> Option<&dyn PoolProvider> {
    session.providers.iter().find(|provider| provider.name() == name).map(|provider| &**provider)
}

fn wanted(session: &Session) -> Wanted<'_> {
    let job = &session.job;
    Wanted { name: &job.pool, namespace: job.namespace.as_deref(), provider: job.provider.as_deref() }
}

fn find(session: &Session, looked: &Looked) -> Result<Pool, PoolError> {
    let (job, command) = (&session.job, session.workload.kubectl("poolcopy --list"));
    if let Some(name) = &job.provider {
        let known: Vec<_> = session.providers.iter().map(|provider| provider.name().word().to_owned()).collect();
        if !known.contains(name) {
            return Err(PoolError::UnknownProvider { name: name.clone(), known });
        }
    }
    match looked.directory.find(&looked.inventory, &wanted(session)) {
        Ok(entry) => Ok(entry.pool),
        Err(NotFound::NoPools) => Err(PoolError::NoPools { command }),
        Err(NotFound::Ambiguous { found }) => Err(PoolError::Ambiguous { name: job.pool.clone(), found }),
        Err(NotFound::Unknown { similar }) => {
            let (name, namespace) = (job.pool.clone(), job.namespace.clone());
            Err(PoolError::UnknownPool { name, namespace, similar, command })
        }
    }
}

/// Finds the pool that the command line names; of one that is gone, its copy's memory of it, so that what was begun can
/// be ended.
pub(crate) async fn choose_or_copy(session: &Session) -> Result<Chosen<'_>, Failure> {
    let looked = pools(session).await?;
    let error = match find(session, &looked) {
        Ok(pool) if pool.provider != ProviderName::Unbuilt => return choose(session).await,
        // Only its nodes are left of it; its copy may remember more.
        Ok(pool) => PoolError::NotBuilt { name: pool.name, provider: pool.description },
        Err(error) => error,
    };
    let is_copy = |pool: &&Pool| {
        let of = pool.copy_of.as_ref().map(|mark| &mark.of);
        wanted(session).allows(pool) && of.is_some_and(|of| of.is_called(&session.job.pool))
    };
    let Some(copy) = looked.directory.pools().find(is_copy).cloned() else { return Err(error.into()) };
    let Some((provider, mark)) = provider_of(session, copy.provider).zip(copy.copy_of.clone()) else {
        return Err(error.into());
    };
    // The source as its copy remembers it: there is nothing of it but its name and uid.
    let object = copy.object.as_ref().map(|object| object.beside(&mark.of.name));
    let gone = Pool {
        name: mark.of.name.clone(),
        alias: mark.of.alias,
        object,
        uid: mark.of.uid,
        size: None,
        scaled_by: Vec::new(),
        troubles: Vec::new(),
        copy_of: None,
        is_frozen: false,
        ..copy.clone()
    };
    let mut chosen = Chosen { provider, inventory: looked.inventory, pool: gone, kinds: Vec::new() };
    chosen.kinds = provider.kinds_beside(&chosen.inventory, &copy);
    read_beside(session, &mut chosen).await?;
    Ok(chosen)
}
