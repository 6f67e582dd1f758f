//! Priority fees that others have paid, and the identity of the cluster.

use anchor_lang::Address;

use super::{Hash, client::Client, error::Error};

/// Most addresses by which a node selects priority fees.
const MAX_ADDRESSES: usize = 128;

impl Client {
    /// The lowest priority fee, in micro-lamports per compute unit, of each recent block for
    /// transactions that write any of `addresses`: at most 150 blocks, in no order.
    pub async fn recent_priority_fees(&self, addresses: &[Address]) -> Result<Vec<u64>, Error> {
        let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
        let fees = self.rpc.get_recent_prioritization_fees(addresses).await?;
        Ok(fees.into_iter().map(|fee| fee.prioritization_fee).collect())
    }

    /// Hash of the cluster's genesis, which tells clusters apart.
    pub async fn genesis_hash(&self) -> Result<Hash, Error> {
        Ok(self.rpc.get_genesis_hash().await?)
    }
}
