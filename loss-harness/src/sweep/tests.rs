//! Tests of sweeps: threads change nothing, and what is written is whole.

use super::*;
use crate::plan::{Matrix, Plan};

fn rows(threads: usize) -> Vec<Row> {
    let plan = Plan::parse(
        "seed = 3\naus = 60\nslices = 1\n[sweep]\nlosses = ['1%', '5%']\nbursts = [1, 8]\n\
         sizes = ['2KB', '60KB']\nredundancies = ['5%', '20%']\n",
    )
    .unwrap();
    let cells = plan.sweep.clone().unwrap().cells(&plan).unwrap();
    sweep(cells, threads).unwrap()
}

#[test]
fn every_cell_is_at_its_bound_and_the_threads_change_nothing() {
    let (one, many) = (rows(1), rows(3));
    assert_eq!(one.len(), 16);
    assert!(one.iter().all(|row| row.outcome.is_right() && row.is_at_bound()));
    assert_eq!(text(&one), text(&many));
    assert_eq!(csv::csv(&one), csv::csv(&many));
    assert_eq!(page::page("x", &one), page::page("x", &many));
    // More parity, and less loss, deliver more.
    let delivered = |index: usize| one[index].outcome.delivered;
    assert!(delivered(10) < delivered(11) && delivered(10) < delivered(2), "{}", text(&one));
}

#[test]
fn the_page_is_whole_and_asks_for_nothing() {
    let rows = rows(2);
    let page = page::page("<b>\"&", &rows);
    assert!(page.contains("&lt;b&gt;&quot;&amp;") && !page.contains("<b>"));
    for outside in ["<script", "src=", "href=", "url(", "@import", "http://", "https://"] {
        let count = page.matches(outside).count();
        // The SVG namespace is a name, not a place.
        let names = if outside == "http://" { page.matches("http://www.w3.org/2000/svg").count() } else { 0 };
        assert_eq!(count, names, "{outside}");
    }
    assert_eq!(page.matches("<figure>").count(), 4);
    assert_eq!(page.matches("<title>").count(), 1 + rows.len(), "a title for each dot");
    for tag in ["svg", "figure", "table", "tr", "td", "details", "main", "ul", "li", "div", "text"] {
        let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
        let opened = page.matches(&opened).filter(|_| true).count();
        assert!(opened >= page.matches(&closed).count() && page.contains(&closed), "{tag}");
    }
    let csv = csv::csv(&rows);
    let columns = csv.lines().next().unwrap().split(',').count();
    assert!(csv.lines().all(|line| line.split(',').count() == columns));
    assert_eq!(csv.lines().count(), 1 + rows.len());
}

#[test]
fn an_axis_that_is_not_given_is_the_plans_own() {
    let plan = Plan::parse("[channel]\nburst = '2%x4'\n").unwrap();
    let cells = Matrix::default().cells(&plan).unwrap();
    assert_eq!(cells.len(), 1);
    assert_eq!((cells[0].burst, cells[0].plan.channel.burst), (4.0, plan.channel.burst));
}
