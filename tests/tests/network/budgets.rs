//! Limits and priority fees of sent transactions, and transactions that are refused before they are
//! sent.

use driftshield_sdk::{
    instruction,
    rpc::{Client, Error, Keypair, Signature, Signer, TransactionError},
};
use driftshield_tests::{
    network::{Network, budget::RequestedBudget},
    proxy::Proxy,
    world::params,
};
use solana_system_interface::instruction as system;

const SOL: u64 = 1_000_000_000;
/// Fee of one signature in lamports.
const SIGNATURE_FEE: u64 = 5_000;
/// Micro-lamports per compute unit.
const PRICE: u64 = 2_500_000;

/// A network, and a proxy that records what is sent to its node.
struct Scene {
    network: Network,
    proxy: Proxy,
}

impl Scene {
    async fn start() -> Self {
        let network = Network::start(&["--bare"]).await;
        let proxy = Proxy::start(&network.addresses.rpc_url).await;
        Self { network, proxy }
    }

    fn client(&self) -> Client {
        Client::new(self.proxy.url.clone())
    }

    /// The budget of the transaction that was sent last.
    fn last_budget(&self) -> RequestedBudget {
        let sent = self.proxy.transactions();
        RequestedBudget::of(sent.last().expect("a transaction"))
    }

    async fn lamports(&self, key: &Keypair) -> u64 {
        let rpc = self.network.client.rpc();
        rpc.get_balance(&key.pubkey()).await.unwrap()
    }

    async fn transfer(
        &self,
        client: &Client,
        from: &Keypair,
        to: &Keypair,
        lamports: u64,
    ) -> Result<Signature, Error> {
        let transfer = system::transfer(&from.pubkey(), &to.pubkey(), lamports);
        client.send(&[transfer], &[from]).await
    }

    /// Runs the command line with the payer's key, and returns its output.
    fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let mut command = self.network.command("driftshield");
        command
            .env("RPC_URL", &self.proxy.url)
            .envs(environment.iter().copied())
            .arg("--keypair")
            .arg(&self.network.addresses.payer);
        let output = command.args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{text}");
        text
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_carry_limits_and_pay_for_priority_only_if_asked() {
    let scene = Scene::start().await;
    let (payer, other) = (&scene.network.payer, Keypair::new());

    // A client that was given no priority fee pays none
    let before = scene.lamports(payer).await;
    let client = scene.client();
    scene.transfer(&client, payer, &other, SOL).await.unwrap();
    let budget = scene.last_budget();
    assert!(budget.is_limited(), "{budget:?}");
    assert_eq!(budget.price, None);
    let paid = before - SOL - scene.lamports(payer).await;
    assert_eq!(paid, SIGNATURE_FEE);

    // A client that was given one pays it for the units of the limit
    let before = scene.lamports(payer).await;
    let client = scene.client().with_priority_fee(PRICE);
    scene.transfer(&client, payer, &other, SOL).await.unwrap();
    let budget = scene.last_budget();
    assert!(budget.is_limited(), "{budget:?}");
    assert_eq!(budget.price, Some(PRICE));
    let paid = before - SOL - scene.lamports(payer).await;
    assert_eq!(paid, SIGNATURE_FEE + budget.priority_fee());
    assert!(50_000 < budget.priority_fee());

    // The command line pays what its option or its environment says
    scene.run(&["init"], &[]);
    assert!(scene.last_budget().is_limited());
    assert_eq!(scene.last_budget().price, None);
    scene.run(&["--priority-fee", "7", "pause", "bets"], &[]);
    assert!(scene.last_budget().is_limited());
    assert_eq!(scene.last_budget().price, Some(7));
    scene.run(&["unpause"], &[("PRIORITY_FEE", "8")]);
    assert_eq!(scene.last_budget().price, Some(8));
    let sent = scene.proxy.transactions().len();
    assert_eq!(sent, 5);

    // and a dry run sends nothing
    let text = scene.run(&["--dry-run", "pause"], &[]);
    assert!(text.contains("would succeed"), "{text}");
    assert_eq!(scene.proxy.transactions().len(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_would_fail_is_not_sent_and_its_error_has_a_name() {
    let scene = Scene::start().await;
    let (payer, stranger) = (&scene.network.payer, Keypair::new());
    let (client, admin) = (scene.client(), payer.pubkey());
    let initialize = instruction::initialize(admin, admin, admin, admin, params());
    client.send(&[initialize], &[payer]).await.unwrap();
    let lamports = 2_000_000;
    scene
        .transfer(&client, payer, &stranger, lamports)
        .await
        .unwrap();
    let sent = scene.proxy.transactions().len();

    // An error of the program is reported by its name
    let pause = instruction::set_pause(stranger.pubkey(), 1);
    let error = client.send(&[pause], &[&stranger]).await.unwrap_err();
    assert!(error.to_string().starts_with("NotGuardian ("), "{error}");

    // An error of another program names the caller's instruction, and the program's logs
    let transfer = system::transfer(&stranger.pubkey(), &admin, lamports);
    let error = client.send(&[transfer], &[&stranger]).await.unwrap_err();
    let Error::TransactionFailed(failure) = &error else {
        panic!("{error}")
    };
    assert!(
        matches!(failure.error, TransactionError::InstructionError(0, _)),
        "{failure}"
    );
    assert!(
        error.to_string().contains("insufficient lamports"),
        "{error}"
    );

    // A fee payer without SOL is told so
    let pauper = Keypair::new();
    let error = scene
        .transfer(&client, &pauper, payer, 1)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no SOL"), "{error}");
    assert_eq!(scene.proxy.transactions().len(), sent);

    // And so is one that can pay the signature but not the priority fee
    let priced = scene.client().with_priority_fee(1_000 * PRICE);
    let error = scene
        .transfer(&priced, &stranger, payer, 1)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("too little SOL"), "{error}");
    assert_eq!(scene.lamports(&stranger).await, lamports);
}
