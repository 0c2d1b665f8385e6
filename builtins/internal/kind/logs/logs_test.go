package logs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/neosofia/runner/builtins/internal/kind/kindtest"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/logbatch"
	"github.com/neosofia/runner/runtime/ledger"
)

func packed(t *testing.T, text string) string {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	return string(z.EncodeAll([]byte(text), nil))
}

// batchOf is batch n of a source whose lines are in a file, after the batch before.
func batchOf(t *testing.T, n int64, prev, of, text string) map[string]string {
	t.Helper()
	sum := sha256.Sum256([]byte(text))
	x := logbatch.Index{Source: "web", Kind: logbatch.Lines, Seq: n, Prev: prev, Entries: int64(strings.Count(text, "\n")),
		Bytes: int64(len(text)),
		Parts: []logbatch.Part{{File: "0001-access.log.zst", Of: logbatch.Name(of), Log: "/var/log/access.log",
			Entries: int64(strings.Count(text, "\n")), Bytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}}}
	raw, err := x.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"0001-access.log.zst": packed(t, text), logbatch.File: string(raw)}
}

func TestABatchIsOpenedOrRefused(t *testing.T) {
	order := []string{"0001-access.log.zst", logbatch.File}
	for name, c := range map[string]struct {
		edit  func(map[string]string)
		order []string
		want  string
	}{
		"whole": {order: order},
		"another line": {edit: func(f map[string]string) { f[order[0]] = packed(t, "one\ntwx\n") }, order: order,
			want: "its index says"},
		"a line less": {edit: func(f map[string]string) { f[order[0]] = packed(t, "one\n") }, order: order, want: "its index says"},
		"cut off": {edit: func(f map[string]string) { f[order[0]] = f[order[0]][:len(f[order[0]])-3] }, order: order,
			want: "0001-access.log.zst"},
		"no zstd": {edit: func(f map[string]string) { f[order[0]] = "plain text" }, order: order,
			want: "0001-access.log.zst"},
		"no index":              {order: order[:1], want: "batch.json is missing"},
		"a part less":           {order: order[1:], want: "its index 1"},
		"an index that is none": {edit: func(f map[string]string) { f[logbatch.File] = "{}" }, order: order, want: "parse batch"},
	} {
		t.Run(name, func(t *testing.T) {
			files := batchOf(t, 1, "", "/var/log/access.log", "one\ntwo\n")
			if c.edit != nil {
				c.edit(files)
			}
			err := kindtest.Check(t, Kind(), files, c.order...)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// chain makes batches that follow each other, and the job that brings them back.
func chain(t *testing.T, edit func(batches []map[string]string) []map[string]string) *kind.Job {
	t.Helper()
	var batches []map[string]string
	prev := ""
	for i, of := range []string{"/var/log/access.log.2.gz", "/var/log/access.log", "/var/log/access.log-20261120"} {
		b := batchOf(t, int64(i+1), prev, of, fmt.Sprintf("line %d\n", i+1))
		prev = logbatch.Digest([]byte(b[logbatch.File]))
		batches = append(batches, b)
	}
	if edit != nil {
		batches = edit(batches)
	}
	order := []string{"0001-access.log.zst", logbatch.File}
	j := kindtest.Job(t, "logs", batches[len(batches)-1], order...)
	j.Artifact.Created = time.Unix(100, 0)
	for i, b := range batches[:len(batches)-1] {
		j.Others = append(j.Others, kind.Other{Artifact: ledger.Artifact{Created: time.Unix(int64(i), 0)},
			Open: func(_ context.Context, name string) (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(b[name])), nil
			}})
	}
	return j
}

func TestLogsComeBackInOneFile(t *testing.T) {
	j := chain(t, nil)
	if err := recoverLogs(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(j.Into, "files/var/log/access.log"))
	if err != nil || string(raw) != "line 1\nline 2\nline 3\n" {
		t.Errorf("got %q, %v", raw, err)
	}
	if !strings.Contains(strings.Join(j.Say, "\n"), "batches 1 to 3, 3 entries: the chain is whole") {
		t.Errorf("got %q", j.Say)
	}
}

func TestABrokenChainIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		edit func([]map[string]string) []map[string]string
		want string
	}{
		"a batch is missing": {func(b []map[string]string) []map[string]string { return []map[string]string{b[0], b[2]} },
			"batch 2, which batch 3 was made after, is not on this medium"},
		"a batch was exchanged": {func(b []map[string]string) []map[string]string {
			b[1] = batchOf(t, 2, logbatch.Digest([]byte(b[0][logbatch.File])), "/var/log/access.log", "another line\n")
			return b
		}, "is not on this medium or was changed"},
		"what it holds was exchanged": {func(b []map[string]string) []map[string]string {
			b[1]["0001-access.log.zst"] = packed(t, "line x\n")
			return b
		}, "its index says"},
	} {
		t.Run(name, func(t *testing.T) {
			err := recoverLogs(t.Context(), chain(t, c.edit))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A ledger that was restored from an older state begins a branch: each is a chain.
func TestABranchIsNoBrokenChain(t *testing.T) {
	j := chain(t, func(b []map[string]string) []map[string]string {
		branch := batchOf(t, 2, logbatch.Digest([]byte(b[0][logbatch.File])), "/var/log/access.log", "line 2, again\n")
		return []map[string]string{b[0], branch, b[1], b[2]}
	})
	if err := recoverLogs(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(j.Into, "files/var/log/access.log"))
	if err != nil || string(raw) != "line 1\nline 2\nline 3\n" {
		t.Errorf("got %q, %v", raw, err)
	}
	if !strings.Contains(strings.Join(j.Skipped, "\n"), "batch 2 of") {
		t.Errorf("the other branch is not told: %q", j.Skipped)
	}
}

func TestLogsStayBelowTheirFolder(t *testing.T) {
	j := kindtest.Job(t, "logs", nil)
	for _, name := range []string{"../../../etc/cron.d/x", "/../x", "..", "/"} {
		text := "x\n"
		sum := sha256.Sum256([]byte(text))
		p := logbatch.Part{File: "0001-x.zst", Log: logbatch.Name(name), Entries: 1, Bytes: 2, SHA256: hex.EncodeToString(sum[:])}
		err := appendPart(j, t.Context(), func(context.Context, string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(packed(t, text))), nil
		}, p)
		if _, serr := os.Stat(filepath.Join(filepath.Dir(j.Into), "etc")); serr == nil {
			t.Errorf("%q: it was written outside (%v)", name, err)
		}
	}
}

func FuzzBatch(f *testing.F) {
	f.Add([]byte(`{"version":1,"source":"a","kind":"lines","seq":1,"prev":"","parts":[],"entries":0,"bytes":0,"after":{}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		x, err := logbatch.Parse(in)
		if err != nil {
			return
		}
		raw, err := x.Encode()
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := logbatch.Parse(raw)
		if err != nil || again.Seq != x.Seq || bytes.Equal(raw, nil) {
			t.Errorf("got %v", err)
		}
	})
}
