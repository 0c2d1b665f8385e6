package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/neosofia/runner/tests/gauge"
	"github.com/neosofia/runner/tests/internal/program"
)

func TestBench(t *testing.T) {
	m := gauge.Begin(t)
	var table gauge.Table
	t.Run("verbs", func(t *testing.T) { verbs(t, m, &table) })
	t.Run("steps", func(t *testing.T) { steps(t, m, &table) })
	table.Print(t)
}

// most is the peak memory of a short verb, in MiB. Some 6 are its own; the rest are pages
// of the program's file, of which the kernel maps more or fewer from run to run (33 to 43
// were seen of one binary). It was 40 before two storage engines were linked in.
const most = 48

// verbs start the binary that ships.
func verbs(t *testing.T, m gauge.Mode, table *gauge.Table) {
	dir := t.TempDir()
	bin, err := program.Build(dir, "bench")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"site.star": "", "one.star": "def main():\n    log(text = \"one line\")\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	policy := filepath.Join(dir, "one.star")
	for _, v := range []struct {
		what string
		gate float64 // milliseconds
		args []string
	}{
		{"runner --version", 15, []string{"--version"}},
		{"runner help", 15, []string{"help"}},
		{"runner builtins", 15, []string{"builtins"}},
		{"runner check, one line", 15, []string{"check", "--ask=false", policy}},
		{"runner exec, first run", 30, []string{"exec", policy}},
		{"runner exec, ledger exists", 20, []string{"exec", policy}},
	} {
		fresh := v.gate == 30
		costs := start(t, bin, filepath.Join(dir, "state"), fresh, v.args...)
		cpu := gauge.Median(costs, func(c gauge.Cost) time.Duration { return c.CPU })
		table.Limit(t, v.what+", CPU", cpu.Seconds()*1e3, v.gate, "ms", m == gauge.Full)
		table.Peak(t, v.what, costs, most)
	}
}

// start runs a verb twenty times; fresh means each time without a ledger.
func start(t *testing.T, bin, state string, fresh bool, args ...string) (costs []gauge.Cost) {
	t.Helper()
	for range 20 {
		if fresh {
			if err := os.RemoveAll(state); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), bin, append(args, "--state", state)...)
		costs = append(costs, gauge.Run(t, cmd))
	}
	if wrote := len(args) > 0 && args[0] == "exec"; wrote != there(filepath.Join(state, "ledger.db")) {
		t.Errorf("%s: a ledger is there: %t, want %t", fmt.Sprint(args), !wrote, wrote)
	}
	return costs
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
