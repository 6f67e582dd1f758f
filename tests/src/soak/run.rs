//! Runs actions: turns each into steps, and tampers with some of the calls.

use driftshield_sdk::Instruction;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    action::Action,
    call::Call,
    driver::{Driver, Tamper},
    generate::Generator,
    step::{Checked, Step, guarded},
    tamper,
};

impl Driver {
    pub fn run(&mut self, actions: &[Action]) -> Checked {
        for action in actions {
            self.act(action)?;
        }
        Ok(())
    }

    /// Runs one action. A panic counts as a violation, also of arithmetic in the books that overflows.
    pub fn act(&mut self, action: &Action) -> Checked {
        guarded(|| self.act_unguarded(action))
    }

    fn act_unguarded(&mut self, action: &Action) -> Checked {
        let mut rng = StdRng::seed_from_u64(action.seed);
        let steps = Generator::new(self, &mut rng).steps(action.kind);
        // Only actions of a single call are tampered with.
        let tampering = action.tampering.filter(|_| steps.len() == 1);
        let tamper = tampering.map(|tampering| {
            move |driver: &Driver, call: &Call, instruction: &mut Instruction, rng: &mut StdRng| {
                tamper::apply(driver, call, instruction, tampering, rng)
            }
        });
        for step in steps {
            match step {
                Step::Until(at) => self.wait_until(at),
                Step::Rent(rate) => self.set_rent(rate),
                Step::Call(call) => {
                    let tamper = tamper.as_ref().map(|tamper| tamper as Tamper);
                    self.call(&call, tamper, &mut rng)?;
                }
            }
        }
        Ok(())
    }
}
