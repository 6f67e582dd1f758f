//! Creates the example's markets, places bets on them and sells stakes.

use driftshield_sdk::{Address, Market, address, rpc::Signer};
use futures::future::try_join_all;

use super::{
    scenario::{BETTORS, Bet, MARKETS, SALES, Sale},
    state::Example,
};
use crate::console::print_line;

impl Example<'_> {
    pub async fn create_markets(&mut self) -> anyhow::Result<()> {
        let creator = self.participant("creator");
        for (id, market) in (1u64..).zip(&MARKETS) {
            let (first, last) = market.windows.bounds(self.windows);
            let create = [
                "market".into(),
                "create".into(),
                format!("--model={}", self.model),
                format!("--id={id}"),
                format!("--question={}", market.question),
                format!("--thresholds={}", market.thresholds.join(",")),
                format!("--aggregate={}", market.aggregate),
                format!("--first={first}"),
                format!("--last={last}"),
                "--creator-fee-bps=100".into(),
            ];
            self.driftshield(&creator.key_file, &create).await?;
        }
        self.markets = (1..=MARKETS.len() as u64)
            .map(|id| address::market(&creator.key.pubkey(), id))
            .collect();
        Ok(())
    }

    /// Places the bets that are due once `percent` of the data are measured. Different bettors bet
    /// concurrently.
    pub async fn place_bets(&mut self, percent: u64) -> anyhow::Result<()> {
        let mut bets: Vec<_> = MARKETS
            .iter()
            .zip(&self.markets)
            .flat_map(|(market, address)| market.bets.iter().map(move |bet| (bet, *address)))
            .collect();
        bets.sort_by_key(|(bet, _)| bet.due_percent);
        let due = bets.partition_point(|(bet, _)| bet.due_percent <= percent);
        let due = due.max(self.bets_placed);
        let new = &bets[self.bets_placed..due];
        let by_bettor = BETTORS.map(|bettor| {
            let own = new.iter().filter(|(bet, _)| bet.bettor == bettor);
            self.place_bets_of(bettor, own.copied().collect())
        });
        try_join_all(by_bettor).await?;
        self.bets_placed = due;
        Ok(())
    }

    async fn place_bets_of(&self, bettor: &str, bets: Vec<(&Bet, Address)>) -> anyhow::Result<()> {
        for (bet, market) in bets {
            let arguments = [
                "market".into(),
                "bet".into(),
                market.to_string(),
                format!("--outcome={}", bet.outcome),
                format!("--amount={}", bet.amount),
            ];
            let key_file = &self.participant(bettor).key_file;
            self.driftshield(key_file, &arguments).await?;
        }
        Ok(())
    }

    /// Makes the sales that are due once `percent` of the data are measured, one at a time. An ask falls
    /// with each report on the model; if that is what happened, the sale is tried again at the next call.
    pub async fn make_sales(&mut self, percent: u64) -> anyhow::Result<()> {
        while let Some(sale) = SALES.get(self.sales_made) {
            if percent < sale.due_percent {
                break;
            }
            if let Err(error) = self.sell(sale).await {
                print_line(&format!("{} tries again to sell: {error:#}", sale.seller));
                break;
            }
            self.sales_made += 1;
        }
        Ok(())
    }

    async fn sell(&self, sale: &Sale) -> anyhow::Result<()> {
        let market = self.markets[sale.market].to_string();
        let terms = [
            market,
            format!("--outcome={}", sale.outcome),
            format!("--amount={}", sale.amount),
        ];
        let ask = [
            &["market".into(), "ask".into()][..],
            &terms,
            &[format!("--price={}", sale.price)],
        ]
        .concat();
        let seller = self.participant(sale.seller);
        self.driftshield(&seller.key_file, &ask).await?;
        let buy = [
            &["market".into(), "buy".into()][..],
            &terms,
            &[
                format!("--max-price={}", sale.price),
                format!("--seller={}", seller.key.pubkey()),
            ],
        ]
        .concat();
        let buyer = self.participant(sale.buyer);
        self.driftshield(&buyer.key_file, &buy).await?;
        Ok(())
    }

    pub async fn count_open_markets(&self) -> anyhow::Result<u32> {
        let mut open = 0;
        for market in &self.markets {
            open += u32::from(self.client.find::<Market>(market).await?.is_some());
        }
        Ok(open)
    }
}
