//! Which pools there are, and which one is meant.

use kubectl_common::failure::Failure;
use node_pools::inventory::Inventory;
use node_pools::name;
use node_pools::pool::{Pool, ProviderName};
use node_pools::provider::PoolProvider;
use node_pools_runner::look;

use crate::failure::PoolError;
use crate::session::Session;

/// All pools of all providers.
pub(crate) struct Looked {
    pub(crate) inventory: Inventory,
    pub(crate) pools: Vec<Pool>,
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
    let inventory = look::look(&session.places, &session.providers).await;
    session.output.clear_status();
    let inventory = inventory.map_err(|error| session.look_failed(&error))?;
    let pools = session.providers.iter().flat_map(|provider| provider.pools(&inventory)).collect();
    Ok(Looked { inventory, pools })
}

/// Finds the pool that the command line names.
pub(crate) async fn choose(session: &Session) -> Result<Chosen<'_>, Failure> {
    let looked = pools(session).await?;
    let pool = find(session, &looked)?.clone();
    let provider = provider_of(session, pool.provider)
        .ok_or_else(|| PoolError::NotBuilt { name: pool.name.clone(), provider: pool.description.clone() })?;
    let mut chosen = Chosen { provider, inventory: looked.inventory, pool, kinds: Vec::new() };
    chosen.kinds = provider.kinds_beside(&chosen.inventory, &chosen.pool);
    read_beside(session, &mut chosen).await?;
    Ok(chosen)
}

/// Looks again at everything that the plan about a pool needs; the pool itself may be gone by now.
pub(crate) async fn again(session: &Session, chosen: &mut Chosen<'_>) -> Result<(), Failure> {
    chosen.inventory =
        look::look(&session.places, &session.providers).await.map_err(|error| session.look_failed(&error))?;
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

fn find<'a>(session: &Session, looked: &'a Looked) -> Result<&'a Pool, PoolError> {
    let job = &session.job;
    let all: Vec<_> = looked.pools.iter().filter(|pool| is_meant(session, pool)).collect();
    if let Some(name) = &job.provider {
        let known: Vec<_> = session.providers.iter().map(|provider| provider.name().word().to_owned()).collect();
        if !known.contains(name) {
            return Err(PoolError::UnknownProvider { name: name.clone(), known });
        }
    }
    let found: Vec<_> = all.iter().copied().filter(|pool| pool.is_called(&job.pool)).collect();
    match found.as_slice() {
        [pool] => Ok(pool),
        [] => Err(unknown(session, looked, &all)),
        several => Err(PoolError::Ambiguous {
            name: job.pool.clone(),
            found: several.iter().map(|pool| pool.title()).collect(),
        }),
    }
}

fn is_meant(session: &Session, pool: &Pool) -> bool {
    let namespace = pool.object.as_ref().and_then(|object| object.namespace.as_ref());
    let in_place = match (&session.job.namespace, namespace) {
        (Some(wanted), Some(namespace)) => wanted == namespace,
        _ => true,
    };
    in_place && session.job.provider.as_deref().is_none_or(|wanted| wanted == pool.provider.word())
}

fn unknown(session: &Session, looked: &Looked, pools: &[&Pool]) -> PoolError {
    let (job, command) = (&session.job, session.workload.kubectl("poolcopy --list"));
    if let Some(label) = crate::list::label_of(&looked.inventory, &job.pool).filter(|label| !label.is_built) {
        return PoolError::NotBuilt { name: job.pool.clone(), provider: label.provider.to_owned() };
    }
    if pools.is_empty() && job.namespace.is_none() && job.provider.is_none() {
        return PoolError::NoPools { command };
    }
    let names = pools.iter().flat_map(|pool| std::iter::once(pool.name.as_str()).chain(pool.alias.as_deref()));
    PoolError::UnknownPool {
        name: job.pool.clone(),
        namespace: job.namespace.clone(),
        similar: name::nearest(&job.pool, names),
        command,
    }
}

/// Finds the pool that the command line names; of one that is gone, its copy's memory of it, so that what was begun can
/// be ended.
pub(crate) async fn choose_or_copy(session: &Session) -> Result<Chosen<'_>, Failure> {
    let looked = pools(session).await?;
    let Err(error) = find(session, &looked) else { return choose(session).await };
    let is_copy = |pool: &&Pool| {
        let of = pool.copy_of.as_ref().map(|mark| &mark.of);
        is_meant(session, pool) && of.is_some_and(|of| of.name == session.job.pool)
    };
    let Some(copy) = looked.pools.iter().find(is_copy).cloned() else { return Err(error.into()) };
    let Some((provider, mark)) = provider_of(session, copy.provider).zip(copy.copy_of.clone()) else {
        return Err(error.into());
    };
    // The source as its copy remembers it: there is nothing of it but its name and uid.
    let object = copy.object.as_ref().map(|object| object.beside(&mark.of.name));
    let gone = Pool {
        name: mark.of.name.clone(),
        alias: None,
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
