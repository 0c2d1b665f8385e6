package builtins

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/runtime/ledger"
)

// shipped returns the clear text of every batch of a source that lies on a target,
// in the order of the batches, each batch as one text.
func (b *bench) shipped(source string) []string {
	b.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(b.lab.Root(), "srv/copies/logs", source, "*"))
	if err != nil {
		b.t.Fatal(err)
	}
	all, err := ledger.Catalog{Store: b.store}.Artifacts(b.t.Context(), ledger.Query{Item: source})
	if err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, a := range all { // in the order in which they were made
		for _, dir := range dirs {
			if !strings.HasSuffix(dir, a.ID) {
				continue
			}
			text := ""
			files, err := filepath.Glob(dir + "/*.zst")
			if err != nil {
				b.t.Fatal(err)
			}
			for _, f := range files {
				text += unzstd(b.t, f)
			}
			out = append(out, text)
		}
	}
	return out
}

func unzstd(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// looseBench demands the second disk alone.
func looseBench(t *testing.T, edits ...string) *bench {
	return newBench(t, append([]string{"+", `asset(name = "logs", on = {"second-disk": "opened"})`}, edits...)...)
}

func shipLoose(source string) string {
	return `return [verify(copies = copy(artifact = a)) for a in ship_logs(source = "` + source + `", asset = "logs")]`
}

const web = "var/log/nginx/access.log"

// rotate does what logrotate does: rename and create, or copy and truncate; the one
// before is packed, or this one at once.
func (b *bench) rotate(copyTruncate, compress bool) {
	b.t.Helper()
	log := filepath.Join(b.lab.Node().Root, web)
	for n := 20; n >= 1; n-- {
		for _, ext := range []string{".gz", ""} {
			from := fmt.Sprintf("%s.%d%s", log, n, ext)
			if _, err := os.Stat(from); err != nil {
				continue
			}
			if ext == "" {
				b.pack(from)
				from += ".gz"
			}
			b.must(os.Rename(from, fmt.Sprintf("%s.%d.gz", log, n+1)))
		}
	}
	if copyTruncate {
		raw, err := os.ReadFile(log)
		b.must(err)
		b.must(os.WriteFile(log+".1", raw, 0o644))
		b.must(os.Truncate(log, 0))
	} else {
		b.must(os.Rename(log, log+".1"))
		b.must(os.WriteFile(log, nil, 0o644))
	}
	if compress {
		b.pack(log + ".1")
	}
}

// pack does what gzip does to a file.
func (b *bench) pack(path string) {
	b.t.Helper()
	raw, err := os.ReadFile(path)
	b.must(err)
	st, err := os.Stat(path)
	b.must(err)
	f, err := os.Create(path + ".gz")
	b.must(err)
	z := gzip.NewWriter(f)
	_, err = z.Write(raw)
	b.must(err)
	b.must(z.Close())
	b.must(f.Close())
	b.must(os.Chtimes(path+".gz", st.ModTime(), st.ModTime()))
	b.must(os.Remove(path))
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// write appends numbered lines to the web log.
func (b *bench) write(n int) {
	b.t.Helper()
	f, err := os.OpenFile(filepath.Join(b.lab.Node().Root, web), os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	for range n {
		b.wrote++
		fmt.Fprintf(f, "line %06d of the test, long enough to fill the print of a file with a few of them\n", b.wrote)
	}
}

// wantLines demands each line that was written exactly once, in order.
func (b *bench) wantLines() {
	b.t.Helper()
	next := 1
	for _, line := range strings.Split(strings.Join(b.shipped("pve1-web"), ""), "\n") {
		var n int
		if _, err := fmt.Sscanf(line, "line %06d", &n); err != nil {
			continue
		}
		if n != next {
			b.t.Fatalf("got line %d, want line %d", n, next)
		}
		next++
	}
	if next != b.wrote+1 {
		b.t.Fatalf("got %d lines, want %d", next-1, b.wrote)
	}
}

// unspool makes the spool a place that cannot be written.
func (b *bench) unspool() {
	b.t.Helper()
	if err := os.RemoveAll(filepath.Join(b.dir, "spool")); err != nil {
		b.t.Fatal(err)
	}
	b.full()
}
