//! Events of past transactions, read from their inner instructions.

use anchor_lang::{Address, event::EVENT_IX_TAG_LE};
use solana_commitment_config::CommitmentConfig;
use solana_rpc_client::rpc_client::GetConfirmedSignaturesForAddress2Config;
use solana_rpc_client_api::{
    config::RpcTransactionConfig,
    response::{OptionSerializer, UiInnerInstructions, UiInstruction, UiParsedInstruction},
};
use solana_signature::Signature;
use solana_transaction_status_client_types::{UiLoadedAddresses, UiTransactionEncoding};

use super::{client::Client, error::Error};
use crate::{Event, ID};

/// An event and the transaction that emitted it.
#[derive(Clone, Debug)]
pub struct ChainEvent {
    pub slot: u64,
    pub signature: String,
    pub event: Event,
}

impl Client {
    /// Events of all successful transactions that named `address`, oldest first, as far back as
    /// the node's history reaches. Events that can't be decoded are skipped.
    pub async fn events(&self, address: &Address) -> Result<Vec<ChainEvent>, Error> {
        let mut signatures = vec![];
        let mut before = None;
        loop {
            let config = GetConfirmedSignaturesForAddress2Config {
                before,
                commitment: Some(CommitmentConfig::confirmed()),
                ..Default::default()
            };
            let page = self
                .rpc
                .get_signatures_for_address_with_config(address, config)
                .await?;
            let Some(oldest) = page.last() else { break };
            before = Some(parse_signature(&oldest.signature)?);
            let succeeded = page.into_iter().filter(|status| status.err.is_none());
            signatures.extend(succeeded.map(|status| status.signature));
        }
        let mut events = vec![];
        for signature in signatures.into_iter().rev() {
            let parsed = parse_signature(&signature)?;
            let (slot, data) = self.transaction_event_data(&parsed).await?;
            let decoded = data.iter().filter_map(|data| Event::decode(data).ok());
            events.extend(decoded.map(|event| ChainEvent {
                slot,
                signature: signature.clone(),
                event,
            }));
        }
        Ok(events)
    }

    /// Reads a confirmed transaction. Returns its slot and the events that it emitted, each as
    /// `discriminator ‖ body`.
    pub async fn transaction_event_data(
        &self,
        signature: &Signature,
    ) -> Result<(u64, Vec<Vec<u8>>), Error> {
        let config = RpcTransactionConfig {
            encoding: Some(UiTransactionEncoding::Base64),
            commitment: Some(CommitmentConfig::confirmed()),
            max_supported_transaction_version: Some(0),
        };
        let found = self
            .rpc
            .get_transaction_with_config(signature, config)
            .await?;
        let transaction = found.transaction.transaction.decode();
        let transaction = transaction.ok_or(Error::IncompleteResponse("the transaction"))?;
        let meta = found.transaction.meta;
        let meta = meta.ok_or(Error::IncompleteResponse("the metadata"))?;
        let OptionSerializer::Some(inner) = meta.inner_instructions else {
            return Err(Error::IncompleteResponse("the inner instructions"));
        };
        let mut keys = transaction.message.static_account_keys().to_vec();
        if let OptionSerializer::Some(loaded) = meta.loaded_addresses {
            keys.extend(loaded_keys(&loaded)?);
        }
        Ok((found.slot, event_data(&inner, &keys)))
    }
}

/// Keys that a transaction loaded from lookup tables, in the order of the indexes in instructions.
fn loaded_keys(loaded: &UiLoadedAddresses) -> Result<Vec<Address>, Error> {
    let keys = loaded.writable.iter().chain(&loaded.readonly);
    keys.map(|key| key.parse())
        .collect::<Result<_, _>>()
        .map_err(|_| Error::IncompleteResponse("valid keys"))
}

fn parse_signature(signature: &str) -> Result<Signature, Error> {
    let parsed = signature.parse();
    parsed.map_err(|_| Error::IncompleteResponse("a valid signature"))
}

/// Events in the inner instructions of a transaction, each as `discriminator ‖ body`. `keys` are
/// the transaction's account keys, those from lookup tables last.
pub fn event_data(inner: &[UiInnerInstructions], keys: &[Address]) -> Vec<Vec<u8>> {
    inner
        .iter()
        .flat_map(|inner| &inner.instructions)
        .filter_map(|instruction| {
            let data = own_instruction_data(instruction, keys)?;
            Some(data.strip_prefix(EVENT_IX_TAG_LE)?.to_vec())
        })
        .collect()
}

/// Data of an inner instruction, if the instruction calls the program. Nodes identify the called
/// program by index among the transaction's keys or, in responses with parsed instructions, by
/// address.
fn own_instruction_data(instruction: &UiInstruction, keys: &[Address]) -> Option<Vec<u8>> {
    let (is_own, data) = match instruction {
        UiInstruction::Compiled(compiled) => {
            let program = keys.get(usize::from(compiled.program_id_index));
            (program == Some(&ID), &compiled.data)
        }
        UiInstruction::Parsed(UiParsedInstruction::PartiallyDecoded(decoded)) => {
            (decoded.program_id == ID.to_string(), &decoded.data)
        }
        // Nodes parse only the instructions of well-known programs.
        UiInstruction::Parsed(UiParsedInstruction::Parsed(_)) => return None,
    };
    is_own.then(|| bs58::decode(data).into_vec().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use solana_rpc_client_api::response::UiCompiledInstruction;

    use super::*;

    #[test]
    fn the_program_can_come_from_a_lookup_table() {
        let data = [EVENT_IX_TAG_LE, &[7; 9]].concat();
        let compiled = UiCompiledInstruction {
            program_id_index: 2,
            accounts: vec![],
            data: bs58::encode(data).into_string(),
            stack_height: Some(2),
        };
        let inner = [UiInnerInstructions {
            index: 0,
            instructions: vec![UiInstruction::Compiled(compiled)],
        }];
        let own: Vec<Address> = vec![[1; 32].into()];
        assert!(event_data(&inner, &own).is_empty());

        let loaded = UiLoadedAddresses {
            writable: vec![Address::from([2; 32]).to_string()],
            readonly: vec![ID.to_string()],
        };
        let keys = [own, loaded_keys(&loaded).unwrap()].concat();
        assert_eq!(event_data(&inner, &keys), [[7; 9].to_vec()]);
    }
}
