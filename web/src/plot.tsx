// A moving plot of some series over time, or of one over position; drawn by uPlot, in the page's own colours.
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

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
  isTime?: boolean;
  format?: (value: number) => string;
}

const DARK = matchMedia("(prefers-color-scheme: dark)");

function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options({ series, isTime = true, format }: Props, width: number): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: colour("--soft"),
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { stroke: colour("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
  };
  const values = (_: uPlot, splits: number[]) => splits.map((split) => (format ? format(split) : String(split)));
  return {
    width,
    height: 180,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: isTime }, y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
    axes: [axis, { ...axis, size: 62, values }],
    series: [
      {},
      ...series.map(({ label, colour: index, dashed }) => ({
        label,
        stroke: colour(`--series-${index}`),
        width: 2,
        points: { show: false },
        ...(dashed ? { dash: [6, 4] } : {}),
      })),
    ],
  };
}

export function Plot(props: Props) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = props.series.map((one) => `${one.label}${one.colour}${one.dashed}`).join("|");
  const data = [props.xs, ...props.series.map((one) => one.values)] as uPlot.AlignedData;

  useEffect(() => {
    const host = place.current;
    if (!host) return;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(props, host.clientWidth), data, host);
    };
    draw();
    const resized = new ResizeObserver(() => plot.current?.setSize({ width: host.clientWidth, height: 180 }));
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
    return `${one.label} ${value == null ? "unknown" : (props.format ?? String)(value)}`;
  });
  return (
    <figure class="plot">
      <figcaption>
        {props.title} <span class="soft">{props.unit}</span>
      </figcaption>
      <div ref={place} role="img" aria-label={`${props.title}, ${props.unit}: ${last.join(", ")}`} />
      <ul class="legend" aria-hidden="true">
        {props.series.map((one, index) => (
          <li key={one.label}>
            <i class={`swatch swatch-${one.colour}${one.dashed ? " dashed" : ""}`} />
            {last[index]}
          </li>
        ))}
      </ul>
    </figure>
  );
}
