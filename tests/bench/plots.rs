//! The figures as pictures.

use std::path::{Path, PathBuf};

use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::report::Report;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench")
}

const PLOTS: [(&str, &str, &str, &str); 6] = [
    (
        "requests",
        "Requests a second, by clients",
        "clients",
        "requests/s",
    ),
    (
        "store",
        "Durable commits a second, by writers",
        "writers",
        "commits/s",
    ),
    (
        "rotation",
        "The 99th percentile of resolving while keys are replaced, by clients",
        "clients",
        "ms",
    ),
    ("scrub", "Scrubbing speed, by lent values", "values", "GB/s"),
    (
        "lanes",
        "Requests a second through the egress proxy, by connections",
        "connections",
        "requests/s",
    ),
    (
        "streams",
        "Memory of the broker while 1,000 streams flow",
        OVER_TIME,
        "MiB resident",
    ),
];

/// What runs across is time, from its beginning; else each step is twice the one before.
const OVER_TIME: &str = "seconds";

pub(crate) fn draw(report: &Report) {
    std::fs::create_dir_all(folder().join("plots")).unwrap();
    for (name, title, across, up) in PLOTS {
        if let Some(lines) = report.plot(name) {
            let path = folder().join("plots").join(format!("{name}.svg"));
            plot(&path, title, across, up, lines).unwrap();
        }
    }
}

type Lines = std::collections::BTreeMap<String, Vec<(f64, f64)>>;

fn plot(
    path: &Path,
    title: &str,
    across: &str,
    up: &str,
    lines: &Lines,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::new(path, (860, 480)).into_drawing_area();
    root.fill(&WHITE)?;
    let points = || lines.values().flatten();
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(0.0_f64, f64::max);
    let (right, top) = (most(|p| p.0) * 1.1, most(|p| p.1) * 1.1);
    let mut builder = ChartBuilder::on(&root);
    builder
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(78);
    if across == OVER_TIME {
        let chart = builder.build_cartesian_2d(0.0..right, 0.0..top)?;
        fill(chart, (across, up), lines)?;
    } else {
        let chart = builder.build_cartesian_2d((0.9..right).log_scale(), 0.0..top)?;
        fill(chart, (across, up), lines)?;
    }
    root.present()?;
    Ok(())
}

/// Draws axes, lines and their names.
fn fill<'a, X>(
    mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, RangedCoordf64>>,
    (across, up): (&str, &str),
    lines: &Lines,
) -> Result<(), Box<dyn std::error::Error>>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .x_desc(across)
        .y_desc(up)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| match *y {
            y if y >= 1000.0 => format!("{:.0} k", y / 1000.0),
            y => format!("{y:.1}"),
        })
        .light_line_style(WHITE)
        .draw()?;
    for (at, (name, points)) in lines.iter().enumerate() {
        let color = Palette99::pick(at).to_rgba();
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        chart.draw_series(points.iter().map(|p| Circle::new(*p, 3, color.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 13))
        .draw()?;
    Ok(())
}
