//! Runs actions: turns each into steps, and tampers with some of the calls.

use driftshield_sdk::Instruction;
use rand::{SeedableRng, rngs::StdRng};

use super::{
    action::Action,
    call::Call,
    driver::{Driver, Tamper},
    generate::Generator,
    step::{Checked, Step, Violation},
    tamper,
};

impl Driver {
    pub fn run(&mut self, actions: &[Action]) -> Checked {
        for action in actions {
            self.act(action)?;
        }
        Ok(())
    }

    /// Runs one action. A panic counts as a violation: the world's checks panic, and so does arithmetic
    /// in the books that overflows.
    pub fn act(&mut self, action: &Action) -> Checked {
        let acting = std::panic::AssertUnwindSafe(|| self.act_unguarded(action));
        std::panic::catch_unwind(acting).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or(panic.downcast_ref::<&str>().copied());
            Err(Violation(format!(
                "panicked: {}",
                message.unwrap_or("without a message")
            )))
        })
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
