package host

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

func machine(t *testing.T, faults ...fault.Fault) *Machine {
	t.Helper()
	set, err := fault.Open(filepath.Join(t.TempDir(), "faults.json"))
	if err == nil {
		err = set.Replace(faults)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Machine{Name: "pve1.lab", Root: t.TempDir(), Faults: set, Now: time.Now,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
}

func TestLinesAreWords(t *testing.T) {
	for line, want := range map[string]string{
		`'env' 'A=b' 'true'`: "0", `true`: "0", `/usr/bin/false`: "1", `nope`: "127", ``: "0",
		`true | false`: "2", `true $HOME`: "2", `'true`: "2",
	} {
		var errs bytes.Buffer
		got := machine(t).Exec(t.Context(), line, nil, &errs, &errs)
		if text := map[bool]string{true: "0"}[got == 0]; text != want && want == "0" || got == 0 && want != "0" {
			t.Errorf("%s: got %d (%s), want %s", line, got, errs.String(), want)
		}
	}
	words, err := split(`'it'\''s' 'a b' c=d`)
	if err != nil || strings.Join(words, "|") != "it's|a b|c=d" {
		t.Errorf("got %q, %v", words, err)
	}
}

func TestProgramsFail(t *testing.T) {
	for do, want := range map[string]int{"exit 3 no space": 3, "missing": 127, "killed": Signaled, "slow 1h": 0} {
		var errs bytes.Buffer
		if got := machine(t, fault.Fault{On: "run pve1.lab true", Do: do}).Exec(t.Context(), "true", nil, &errs, &errs); got != want {
			t.Errorf("%s: got %d, want %d", do, got, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := machine(t, fault.Fault{On: "run * true", Do: "hang"}).Exec(ctx, "true", nil, nil, nil); got != Signaled {
		t.Errorf("got %d", got)
	}
}
