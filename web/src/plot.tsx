// A moving plot of some series over the last two minutes, or bars over position; drawn by uPlot in the page's own colours.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { KEPT_S } from "./course";

export interface Series {
  label: string;
  colour: number;
  dashed?: boolean;
  values: (number | null)[];
}

interface Props {
  title: string;
  unit: string;
  xs: number[];
  series: Series[];
  bars?: boolean;
  height?: number;
  format: (value: number) => string;
}

const DARK = matchMedia("(prefers-color-scheme: dark)");
const FONT = "12px system-ui, sans-serif";

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function scaleX(bars: boolean): uPlot.Scale {
  if (bars) return { time: false, range: (_, least, most) => [least - 0.6, most + 0.6] };
  // The newest is at the right edge, and what is older than two minutes leaves at the left.
  return { time: false, range: (_, __, most) => [most - KEPT_S, most] };
}

// A plot narrower than this has room for less on its axes.
const NARROW = 260;

// Each half minute before now, said the way a person would.
const AGO: uPlot.Axis = {
  splits: (_, __, ___, most) => [most - 120, most - 90, most - 60, most - 30, most],
  values: ({ width }, splits) => splits.map((_, index) => ["", "", width < NARROW ? "1 min" : "1 min ago", "", "now"][index] ?? ""),
};

// A figure without the noughts that say nothing on an axis.
function bare(text: string): string {
  return text.replace(/(\.\d*?)0+(?=\D|$)/, "$1").replace(/\.(?=\D|$)/, "");
}

function options({ series, bars = false, height = 180, format }: Props, width: number): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
    font: FONT,
  };
  const paths = bars ? { paths: uPlot.paths.bars!({ size: [0.7, 48] }) } : {};
  return {
    width,
    height,
    // Room for half of the word under the right edge.
    padding: [8, bars ? 0 : 14, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: scaleX(bars), y: { range: (_, __, most) => [0, most > 0 ? most * 1.15 : 1] } },
    axes: [
      { ...axis, size: 24, ...(bars ? { space: 16, incrs: [1] } : AGO) },
      {
        ...axis,
        size: width < NARROW ? 56 : 74,
        space: 36,
        values: (_, splits) => splits.map((split) => (split === 0 ? "0" : bare(format(split)))),
      },
    ],
    series: [
      {},
      ...series.map(({ label, colour: index, dashed }) => ({
        label,
        stroke: colour(`--series-${index}`),
        ...(bars ? { fill: colour(`--series-${index}`) } : {}),
        width: bars ? 0 : 2,
        points: { show: false },
        ...(dashed ? { dash: [6, 4] } : {}),
        ...paths,
      })),
    ],
  };
}

export function Plot(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(props);
  newest.current = props;
  const shape = props.series.map((one) => `${one.label}${one.colour}${one.dashed}`).join("|");
  const data = [props.xs, ...props.series.map((one) => one.values)] as uPlot.AlignedData;

  useEffect(() => {
    const host = place.current;
    if (!host) return;
    const draw = () => {
      const { xs, series } = newest.current;
      const now = [xs, ...series.map((one) => one.values)] as uPlot.AlignedData;
      plot.current?.destroy();
      plot.current = new uPlot(options(newest.current, host.clientWidth), now, host);
    };
    draw();
    const resized = new ResizeObserver(() =>
      plot.current?.setSize({ width: host.clientWidth, height: newest.current.height ?? 180 }),
    );
    resized.observe(host);
    DARK.addEventListener("change", draw);
    return () => {
      resized.disconnect();
      DARK.removeEventListener("change", draw);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(data), [props.xs, props.series]);

  const last = props.series.map((one) => {
    const value = one.values.at(-1);
    return `${one.label} ${value == null ? "unknown" : props.format(value)}`;
  });
  const said = props.bars ? props.series[0]?.values.map((value) => props.format(value ?? 0)) : last;
  return (
    <figure class="plot">
      <figcaption>
        {props.title} <span class="soft">{props.unit}</span>
      </figcaption>
      <div ref={place} role="img" aria-label={`${props.title}, ${props.unit}: ${said?.join(", ")}`} />
      {!props.bars && (
        <ul class="legend" aria-hidden="true">
          {props.series.map((one, index) => (
            <li key={one.label}>
              <i class={`swatch swatch-${one.colour}${one.dashed ? " dashed" : ""}`} />
              {last[index]}
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}
