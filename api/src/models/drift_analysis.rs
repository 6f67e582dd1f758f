//! Drift analysis of a model: trend, volatility, change points, and chances of reaching thresholds.

use chrono::{DateTime, Utc};
use driftshield_sdk::{Entry, entry_value};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use sqlx::{FromRow, PgConnection};
use utoipa::{IntoParams, ToSchema};

use crate::{
    analysis::{self, History, MAX_AHEAD, MAX_THRESHOLDS, MAX_WINDOWS, Question, Refusal},
    bytes::Key,
    problem::Problem,
    reason::refuse,
    series::PAGE_WINDOWS,
    statistics::{Probability, Statistic},
    values::{Scaled, U64},
};

use super::Model;

/// Number of pages of a series that hold the analysed windows: a page can have a single one.
const PAGES: i64 = (MAX_WINDOWS as u64).div_ceil(PAGE_WINDOWS) as i64 + 1;
/// Number of newest unsettled markets, and of newest open policies, whose thresholds are read.
const MAX_EXPOSURES: i64 = 200;

/// What to ask the history.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AnalysisQuery {
    /// Number of windows ahead for which chances are given.
    #[serde(default)]
    #[param(inline, value_type = Option<Ahead>)]
    windows: Ahead,
    /// Thresholds in micro-units, separated by commas: at most 16. The default is the thresholds of the
    /// model's unsettled markets and the triggers of its open policies, of which the 16 lowest count.
    #[param(value_type = Option<String>, pattern = "^[0-9]{1,20}(,[0-9]{1,20})*$")]
    thresholds: Option<Thresholds>,
}

/// Number of windows ahead: 1 to 366.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = u16, minimum = 1, maximum = 366, default = 30)]
pub struct Ahead(u16);

impl Default for Ahead {
    fn default() -> Self {
        Self(30)
    }
}

impl<'de> Deserialize<'de> for Ahead {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let windows = u16::deserialize(deserializer)?;
        if (1..=MAX_AHEAD).contains(&usize::from(windows)) {
            Ok(Self(windows))
        } else {
            Err(D::Error::custom(format!(
                "`windows` is {windows}; give 1 to {MAX_AHEAD}"
            )))
        }
    }
}

/// Thresholds in micro-units, ascending, each once.
struct Thresholds(Vec<u64>);

impl<'de> Deserialize<'de> for Thresholds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_number = |part: &str| {
            let is_digits = part.bytes().all(|byte| byte.is_ascii_digit());
            is_digits && (1..=20).contains(&part.len())
        };
        let has_form = text.split(',').all(is_number);
        let parts = text.split(',').map(str::parse);
        let thresholds = match parts.collect::<Result<_, _>>() {
            Ok(thresholds) if has_form => ascending(thresholds),
            _ => {
                let reason = "give micro-units of up to 64 bits, separated by commas";
                return Err(refuse(has_form, reason));
            }
        };
        if MAX_THRESHOLDS < thresholds.len() {
            let reason = format!("give at most {MAX_THRESHOLDS}");
            return Err(refuse(has_form, reason));
        }
        Ok(Self(thresholds))
    }
}

fn ascending(mut thresholds: Vec<u64>) -> Vec<u64> {
    thresholds.sort_unstable();
    thresholds.dedup();
    thresholds
}

/// What a model's history says about its drift. All figures are estimates from the newest 512 windows;
/// docs/drift-analysis.md explains the methods, and how well calibrated the chances are. A part is null if
/// the history does not allow it; `refusals` says why.
#[derive(Serialize, ToSchema)]
pub struct DriftAnalysis {
    pub model: Key,
    /// What a year of windows of a model without drift stays below, with a probability of 95%.
    pub noise_floor: Scaled,
    /// The oldest analysed window; null if no window has a value.
    pub first_window: Option<U64>,
    /// The newest window that is final, void or thin, with which the analysis ends; null if no window has a
    /// value.
    pub last_window: Option<U64>,
    /// Number of windows from `first_window` to `last_window`.
    pub windows: usize,
    /// Number of these windows that have a value (are final). The others are left out of all figures.
    pub values: usize,
    pub trend: Option<Trend>,
    pub volatility: Option<Volatility>,
    /// Windows from which on the mean drift differs, oldest first; at most five.
    pub change_points: Option<Vec<ChangePoint>>,
    pub chances: Option<Chances>,
    /// Why parts are null.
    pub refusals: Vec<Refused>,
}

/// Straight line through the drift of the analysed windows.
#[derive(Serialize, ToSchema)]
pub struct Trend {
    /// Change of drift from one window to the next one, in units of drift; positive if drift rises.
    pub slope: Statistic,
    /// Standard error of `slope`, in units of drift. It allows for autocorrelation.
    pub standard_error: Statistic,
    /// Probability of a slope at least as steep, up or down, if there is no trend.
    pub p_value: Probability,
    /// Whether `p_value` is below 0.05.
    pub significant: bool,
}

/// Size of the changes of drift from one window to the next one, both with values.
#[derive(Serialize, ToSchema)]
pub struct Volatility {
    /// Standard deviation of all changes, in units of drift.
    pub standard_deviation: Statistic,
    /// Root of the exponentially weighted mean of the squared changes, in units of drift: each weighs 0.94
    /// times as much as the next newer one.
    pub ewma: Statistic,
    /// Number of changes.
    pub changes: usize,
}

/// Change of the mean drift.
#[derive(Serialize, ToSchema)]
pub struct ChangePoint {
    /// First window with the new mean.
    pub window: U64,
    pub window_start: Option<DateTime<Utc>>,
    /// Mean drift from the previous change point, or from `first_window`, up to this one.
    pub mean_before: Statistic,
    /// Mean drift from this change point up to the next one, or up to `last_window`.
    pub mean_after: Statistic,
    /// Probability of the change, if the history with it and the history without it were equally probable
    /// before.
    pub confidence: Probability,
}

/// Chances that drift reaches thresholds in the windows after `last_window`, if each of them gets a value.
#[derive(Serialize, ToSchema)]
pub struct Chances {
    /// The window after `last_window`.
    pub first_window: U64,
    /// Number of independent windows that would say as much about the mean drift as the analysed ones do.
    /// Chances from few effective windows are little more than a prior opinion.
    #[schema(minimum = 1)]
    pub effective_windows: f64,
    /// Standard error of a chance of one half that comes from the number of simulated futures.
    pub simulation_error: Probability,
    pub thresholds: Vec<ThresholdChances>,
}

/// Chances that drift reaches one threshold.
#[derive(Serialize, ToSchema)]
pub struct ThresholdChances {
    /// A value reaches the threshold if it is at or above it.
    pub threshold: Scaled,
    /// Chances within the next 1, 2, … windows.
    pub chances: Vec<Chance>,
}

/// Chances within the next `windows` windows.
#[derive(Serialize, ToSchema)]
pub struct Chance {
    #[schema(minimum = 1, maximum = 366)]
    pub windows: usize,
    /// Chance that the largest value reaches the threshold, that is, that any value does.
    pub max: Probability,
    /// Chance that the last value reaches the threshold.
    pub last: Probability,
    /// Chance that the mean of the values reaches the threshold.
    pub mean: Probability,
    /// Chances that the values of 1, 2, 3 and 4 consecutive windows reach the threshold, as a policy with
    /// this persistence requires of its trigger. The first is `max`.
    #[schema(min_items = 4, max_items = 4)]
    pub persistence: Vec<Probability>,
}

/// Why a part of the analysis is null.
#[derive(Serialize, ToSchema)]
pub struct Refused {
    /// `trend`, `volatility`, `change_points` or `chances`.
    #[schema(example = "trend")]
    pub part: &'static str,
    pub reason: String,
}

/// Analyses a model.
pub async fn of_model(
    db: &mut PgConnection,
    model: Model,
    query: AnalysisQuery,
) -> Result<DriftAnalysis, Problem> {
    let recent = Recent::read(db, &model.key).await?;
    let thresholds = match query.thresholds {
        Some(Thresholds(thresholds)) => thresholds,
        None => exposed_thresholds(db, &model.key).await?,
    };
    let question = Question::new(thresholds.clone(), usize::from(query.windows.0))
        .ok_or_else(|| Problem::InvalidValue("too many windows or thresholds".to_owned()))?;
    // The tasks of other requests go on meanwhile.
    let analysis =
        tokio::task::spawn_blocking(move || analyse(&model, &recent, &thresholds, &question));
    analysis
        .await
        .map_err(|_| Problem::Internal(sqlx::Error::WorkerCrashed))
}

fn analyse(
    model: &Model,
    recent: &Recent,
    thresholds: &[u64],
    question: &Question,
) -> DriftAnalysis {
    let history = History::new(&recent.values);
    let windows = history.windows().len();
    // The history ends with the newest window, and starts with a value.
    let next = recent.newest.map_or(0, |newest| newest.saturating_add(1));
    let first = next.saturating_sub(windows as u64);
    let mut refusals = Refusals::default();
    let chances = analysis::chances(&history, model.noise_floor.raw.0, question);
    DriftAnalysis {
        model: model.key,
        noise_floor: model.noise_floor.clone(),
        first_window: (0 < windows).then_some(U64(first)),
        last_window: recent.newest.filter(|_| 0 < windows).map(U64),
        windows,
        values: history.observed().len(),
        trend: refusals
            .keep("trend", analysis::trend(&history))
            .map(|trend| Trend {
                slope: Statistic(trend.slope),
                standard_error: Statistic(trend.standard_error),
                p_value: Probability(trend.p_value),
                significant: trend.is_significant(),
            }),
        volatility: refusals
            .keep("volatility", analysis::volatility(&history))
            .map(|volatility| Volatility {
                standard_deviation: Statistic(volatility.standard_deviation),
                ewma: Statistic(volatility.ewma),
                changes: volatility.changes,
            }),
        change_points: refusals
            .keep("change_points", analysis::changes(&history))
            .map(|changes| {
                let changes = changes.iter();
                changes
                    .map(|change| ChangePoint::new(model, first, change))
                    .collect()
            }),
        chances: refusals.keep("chances", chances).map(|chances| Chances {
            first_window: U64(next),
            effective_windows: (chances.effective_windows * 10.0).round() / 10.0,
            simulation_error: Probability(0.5 / (analysis::PATHS as f64).sqrt()),
            thresholds: thresholds
                .iter()
                .zip(&chances.by_threshold)
                .map(|(threshold, chances)| ThresholdChances::new(*threshold, chances))
                .collect(),
        }),
        refusals: refusals.0,
    }
}

#[derive(Default)]
struct Refusals(Vec<Refused>);

impl Refusals {
    /// The part's result; `None` if it was refused.
    fn keep<T>(&mut self, part: &'static str, result: Result<T, Refusal>) -> Option<T> {
        match result {
            Ok(result) => Some(result),
            Err(refusal) => {
                self.0.push(Refused {
                    part,
                    reason: refusal.to_string(),
                });
                None
            }
        }
    }
}

impl ChangePoint {
    fn new(model: &Model, first: u64, change: &analysis::Change) -> Self {
        let window = first.saturating_add(change.position as u64);
        Self {
            window: U64(window),
            window_start: model.window_start(window),
            mean_before: Statistic(change.before),
            mean_after: Statistic(change.after),
            confidence: Probability(change.confidence),
        }
    }
}

impl ThresholdChances {
    fn new(threshold: u64, chances: &[analysis::Chance]) -> Self {
        let chance = |(windows, chance): (usize, &analysis::Chance)| Chance {
            windows,
            max: Probability(chance.consecutive[0]),
            last: Probability(chance.last),
            mean: Probability(chance.mean),
            persistence: chance.consecutive.map(Probability).into(),
        };
        Self {
            threshold: Scaled::drift(threshold),
            chances: (1..).zip(chances).map(chance).collect(),
        }
    }
}

/// The newest windows of a model's series.
struct Recent {
    /// The newest window that is final, void or thin.
    newest: Option<u64>,
    /// Drift of the windows up to `newest`, oldest first; `None` for a window without a value.
    values: Vec<Option<u64>>,
}

#[derive(FromRow)]
struct SeriesPage {
    page: U64,
    entries: Vec<U64>,
}

impl Recent {
    async fn read(db: &mut PgConnection, model: &Key) -> Result<Self, sqlx::Error> {
        let pages: Vec<SeriesPage> = sqlx::query_as(
            "select s.page, s.entries from chain.series s
             where s.model = $1 and s.is_current order by s.page desc limit $2",
        )
        .bind(*model)
        .bind(PAGES)
        .fetch_all(db)
        .await?;
        Ok(Self::of(&pages))
    }

    /// `pages` are the newest ones.
    fn of(pages: &[SeriesPage]) -> Self {
        let is_decided = |entry| matches!(entry, Entry::Final(_) | Entry::Void | Entry::Thin);
        let decided = pages.iter().flat_map(|page| {
            let windows = page.entries.iter().enumerate();
            let first = page.page.0.saturating_mul(PAGE_WINDOWS);
            windows
                .filter(|(_, U64(word))| is_decided(Entry::from_word(*word)))
                .map(move |(position, _)| first.saturating_add(position as u64))
        });
        let Some(newest) = decided.max() else {
            return Self {
                newest: None,
                values: vec![],
            };
        };
        let value = |window: u64| {
            let page = pages
                .iter()
                .find(|page| page.page.0 == window / PAGE_WINDOWS)?;
            let U64(word) = page.entries.get((window % PAGE_WINDOWS) as usize)?;
            entry_value(Entry::from_word(*word))
        };
        let oldest = newest.saturating_sub(MAX_WINDOWS as u64 - 1);
        Self {
            newest: Some(newest),
            values: (oldest..=newest).map(value).collect(),
        }
    }
}

/// The lowest thresholds of the model's unsettled markets and triggers of its open policies.
async fn exposed_thresholds(db: &mut PgConnection, model: &Key) -> Result<Vec<u64>, sqlx::Error> {
    let thresholds: Vec<U64> = sqlx::query_scalar(
        "(select unnest(m.thresholds[1:m.threshold_count]) from (
            select * from chain.market where model = $1 and status = 'open'
            order by life desc, address desc limit $2) m)
         union all
         (select p.trigger from chain.policy p where p.model = $1 and p.status = 'open'
          order by p.life desc, p.address desc limit $2)
         union all
         (select p.trigger from chain.policy p where p.model = $1 and p.status = 'pending'
          order by p.life desc, p.address desc limit $2)",
    )
    .bind(*model)
    .bind(MAX_EXPOSURES)
    .fetch_all(db)
    .await?;
    let mut thresholds = ascending(thresholds.iter().map(|threshold| threshold.0).collect());
    thresholds.truncate(MAX_THRESHOLDS);
    Ok(thresholds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINAL: u64 = 2 << 56;
    const VOID: u64 = 3 << 56;
    const OPEN: u64 = 1 << 56;

    fn page(page: u64, entries: &[(usize, u64)]) -> SeriesPage {
        let mut words = vec![U64(0); PAGE_WINDOWS as usize];
        for (position, word) in entries {
            words[*position] = U64(*word);
        }
        SeriesPage {
            page: U64(page),
            entries: words,
        }
    }

    #[test]
    fn the_series_ends_with_the_newest_decided_window() {
        let recent = Recent::of(&[
            page(3, &[(0, FINAL | 9), (1, VOID), (2, OPEN)]),
            page(2, &[(254, FINAL | 7), (255, OPEN)]),
        ]);
        assert_eq!(recent.newest, Some(769));
        assert_eq!(recent.values.len(), MAX_WINDOWS);
        let newest = &recent.values[MAX_WINDOWS - 4..];
        assert_eq!(newest, [Some(7), None, Some(9), None]);
    }

    #[test]
    fn a_young_series_starts_with_window_0() {
        let recent = Recent::of(&[page(0, &[(0, FINAL), (2, FINAL | 5)])]);
        assert_eq!(recent.values, [Some(0), None, Some(5)]);
        let empty = Recent::of(&[page(0, &[(0, OPEN)])]);
        assert!(empty.newest.is_none() && empty.values.is_empty());
    }

    #[test]
    fn thresholds_are_read_from_a_list() {
        let read = |text: &str| {
            let text = serde_json::Value::String(text.to_owned());
            serde_json::from_value::<Thresholds>(text).map(|thresholds| thresholds.0)
        };
        assert_eq!(read("5,3,5").unwrap(), [3, 5]);
        assert_eq!(read("18446744073709551615").unwrap(), [u64::MAX]);
        for refused in ["", "1,", "x", "-1", "0.5", "18446744073709551616"] {
            assert!(read(refused).is_err(), "{refused}");
        }
        let many: Vec<_> = (0..=MAX_THRESHOLDS).map(|n| n.to_string()).collect();
        assert!(read(&many[1..].join(",")).is_ok() && read(&many.join(",")).is_err());
    }

    #[test]
    fn windows_ahead_are_bounded() {
        let read = |number: i64| serde_json::from_value::<Ahead>(number.into()).is_ok();
        assert!(read(1) && read(366) && !read(0) && !read(367) && !read(-1));
    }
}
