//! Statements that rank subjects.

use super::Board;

/// Statement that stores the first 1,000 places of a board for a period, for each token. `$1` is the generation, `$2`
/// the name of the period, and `$3` its start or null.
pub fn statement(board: Board) -> String {
    let name = board.name();
    // Among oracles with as many receipts, fewer slashes are better.
    let (values, order) = match board {
        Board::Bettors => (BETTORS, "value desc, subject"),
        Board::Underwriters => (UNDERWRITERS, "value desc, subject"),
        Board::Oracles => (ORACLES, "value desc, basis, subject"),
        Board::Models => (MODELS, "value desc, subject"),
    };
    format!(
        "insert into app.ranking (generation, board, period, mint, rank, subject, value, basis)
         select $1, '{name}', $2, mint, rank, subject, value, basis
         from (
           select mint, subject, value, basis,
             row_number() over (partition by mint order by {order}) as rank
           from ({values}) v
         ) r
         where rank <= 1000"
    )
}

const BETTORS: &str = "
    select mint, subject, sum(payouts - settled + sold_for - sold + bought - bought_for) as value,
      sum(settled + sold + bought) as basis
    from chain.hourly
    where kind = 'wallet' and coalesce($3, '-infinity') <= hour
    group by mint, subject
    having 0 < sum(claims + sales + purchases)";

/// The price of a share is `(assets - leaving + 1) / (shares + 1000)`, and 1 / 1000 without any.
const UNDERWRITERS: &str = "
    select vault.mint, vault.address as subject, last.assets as basis, floor(1000000 *
        ((last.assets - last.leaving + 1) * (coalesce(first.shares, 0) + 1000))
        / ((last.shares + 1000) * (coalesce(first.assets - first.leaving, 0) + 1))) - 1000000 as value
    from chain.vault
    join lateral (
      select assets, leaving, shares from chain.hourly
      where kind = 'vault' and subject = vault.address and mint = vault.mint and assets is not null
      order by hour desc limit 1) last on 0 < last.shares
    left join lateral (
      select assets, leaving, shares from chain.hourly
      where kind = 'vault' and subject = vault.address and mint = vault.mint and assets is not null
        and hour < $3
      order by hour desc limit 1) first on true
    where vault.is_current and vault.ended_slot is null";

const ORACLES: &str = "
    select mint, subject, value, coalesce((
        select sum(seat.slashes) from chain.seat
        join chain.model on model.address = seat.model and model.is_current
        where seat.oracle = subject and model.bond_mint = mint), 0) as basis
    from (
      select mint, subject, sum(earnings) as value
      from chain.hourly
      where kind = 'wallet' and coalesce($3, '-infinity') <= hour and 0 < earnings
      group by mint, subject) earned";

const MODELS: &str = "
    select mint, subject, sum(staked + premiums) as value, sum(bets + policies + renewals) as basis
    from chain.hourly
    where kind = 'model' and coalesce($3, '-infinity') <= hour
    group by mint, subject
    having 0 < sum(bets + policies + renewals)";
