//! The relay (`tests/programs/relay`): a program that makes calls for other programs.

use driftshield_sdk::{AccountMeta, Address, Instruction, address};
use serde_json::{Value, json};

use super::Network;
use crate::world::program_file;

pub const PROGRAM: Address = Address::from_str_const("Re1ay11111111111111111111111111111111111111");
/// The tag that precedes every event of an Anchor program in the data of an inner instruction.
const EVENT_TAG: [u8; 8] = [0xe4, 0x45, 0xa5, 0x2e, 0x51, 0xcb, 0x9a, 0x1d];

/// Deploys the relay.
pub async fn deploy(network: &Network) {
    let file = program_file("relay.so");
    let code = const_hex::encode(std::fs::read(file).unwrap());
    let request = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "surfnet_writeProgram",
        "params": [PROGRAM.to_string(), code, 0],
    });
    let http = reqwest::Client::new();
    let sent = http.post(&network.addresses.rpc_url).json(&request).send();
    let answer: Value = sent.await.unwrap().json().await.unwrap();
    assert!(answer["error"].is_null(), "{answer}");
}

/// An instruction by which the relay makes calls, one after the other. A call can be of the relay.
pub fn relay(calls: &[Instruction]) -> Instruction {
    let mut accounts: Vec<AccountMeta> = vec![];
    let mut index_of = |meta: &AccountMeta| {
        let known = accounts.iter().position(|a| a.pubkey == meta.pubkey);
        let index = known.unwrap_or_else(|| {
            accounts.push(AccountMeta::new_readonly(meta.pubkey, false));
            accounts.len() - 1
        });
        accounts[index].is_signer |= meta.is_signer;
        accounts[index].is_writable |= meta.is_writable;
        u8::try_from(index).unwrap()
    };
    let mut data = vec![];
    for call in calls {
        data.push(index_of(&AccountMeta::new_readonly(call.program_id, false)));
        data.push(u8::try_from(call.accounts.len()).unwrap());
        data.extend(call.accounts.iter().map(&mut index_of));
        data.extend(u16::try_from(call.data.len()).unwrap().to_le_bytes());
        data.extend(&call.data);
    }
    Instruction {
        program_id: PROGRAM,
        accounts,
        data,
    }
}

/// A call of `program` that looks like an event of it, except that the event authority of DriftShield
/// does not sign. `event` is the discriminator and the body. The relay ignores such a call.
pub fn false_event(program: Address, event: &[u8]) -> Instruction {
    Instruction {
        program_id: program,
        accounts: vec![AccountMeta::new_readonly(address::event_authority(), false)],
        data: [&EVENT_TAG, event].concat(),
    }
}
