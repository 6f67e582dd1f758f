//! Forged events.

use driftshield_sdk::{AccountMeta, Instruction, address, instruction};
use solana_signer::Signer;

use super::{fixture::Fixture, outcome};

#[test]
fn only_the_program_can_emit_its_events() {
    // Given an event that the program has emitted by self-CPI
    let mut fixture = Fixture::new();
    let set_pause = instruction::set_pause(fixture.world.guardian.pubkey(), 1);
    let sent = fixture.send(set_pause).unwrap();
    let event = &sent.metadata.inner_instructions[0][0].instruction;

    // When a stranger sends the same event instruction, signed by itself or naming the event
    // authority, which cannot sign
    let stranger = fixture.stranger.key.insecure_clone();
    let authority = address::event_authority();
    for (account, is_signer, expected) in [
        (stranger.pubkey(), true, "InvalidSeeds"),
        (authority, false, "MissingRequiredSignature"),
    ] {
        let forged = Instruction {
            program_id: driftshield_sdk::ID,
            accounts: vec![AccountMeta::new_readonly(account, is_signer)],
            data: event.data.clone(),
        };
        let signers = if is_signer { vec![&stranger] } else { vec![] };

        // Then it is refused
        let outcome = fixture.world.send(forged, &signers);
        assert_eq!(outcome::name(&outcome), expected);
    }
}
