package gauge

import (
	"fmt"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// Table has a row for each figure. Rows that miss their gate fail the test that
// adds them.
type Table struct{ rows []string }

// Ratio adds a comparison by processor time, gated in full mode only: small
// inputs measure the start of programs.
func (b *Table) Ratio(t testing.TB, m Mode, what string, ours, peer []Cost, gate float64) {
	t.Helper()
	cpu := func(c Cost) time.Duration { return c.CPU }
	wall := func(c Cost) time.Duration { return c.Wall }
	of := func(by func(Cost) time.Duration) float64 {
		rounds := make([]float64, len(ours))
		for i := range ours {
			rounds[i] = float64(by(ours[i])) / float64(by(peer[i]))
		}
		return Median(rounds, func(f float64) float64 { return f })
	}
	ratio := of(cpu)
	verdict := "not gated"
	if m == Full {
		verdict = judge(t, what, ratio, gate)
	}
	b.add(what+", CPU", seconds(Median(ours, cpu)), seconds(Median(peer, cpu)), fmt.Sprintf("%.2f", ratio), fmt.Sprintf("%.2f", gate), verdict)
	b.add(what+", wall", seconds(Median(ours, wall)), seconds(Median(peer, wall)), fmt.Sprintf("%.2f", of(wall)), "", "reported")
}

// Limit adds a figure with a bound of its own.
func (b *Table) Limit(t testing.TB, what string, got, gate float64, unit string, gated bool) {
	t.Helper()
	verdict := "not gated"
	if gated {
		verdict = judge(t, what, got, gate)
	}
	b.add(what, fmt.Sprintf("%.1f %s", got, unit), "", "", fmt.Sprintf("%.0f %s", gate, unit), verdict)
}

// Peak adds the peak of the memory, in any mode.
func (b *Table) Peak(t testing.TB, what string, costs []Cost, mib float64) {
	t.Helper()
	var peak int64
	for _, c := range costs {
		peak = max(peak, c.Peak)
	}
	b.Limit(t, what+", peak memory", float64(peak)/(1<<20), mib, "MiB", true)
}

// Told adds a figure without a bound.
func (b *Table) Told(what, figure string) { b.add(what, figure, "", "", "", "reported") }

func judge(t testing.TB, what string, got, gate float64) string {
	t.Helper()
	if got > gate {
		t.Errorf("%s: got %.3g, want at most %.3g", what, got, gate)
		return "ABOVE"
	}
	return "ok"
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

func (b *Table) add(cells ...string) { b.rows = append(b.rows, strings.Join(cells, "\t")) }

// Print logs the table.
func (b *Table) Print(t testing.TB) {
	t.Helper()
	if len(b.rows) == 0 {
		return
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tours\tpeer\tratio\tgate\t")
	for _, r := range b.rows {
		fmt.Fprintln(w, r)
	}
	if err := w.Flush(); err != nil {
		t.Error(err)
	}
	t.Log("\n" + text.String())
}
