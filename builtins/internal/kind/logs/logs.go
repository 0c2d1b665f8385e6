// Package logs is the kind of batches of logs.
package logs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/neosofia/runner/builtins/internal/kind"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/format/journal"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/ledger"
)

// Kind is a batch of logs.
func Kind() kind.Kind {
	return kind.Kind{Name: "logs", Title: "a batch of logs", Batch: true,
		Open: func() target.Checker { return &batchChecker{parts: map[string]seenPart{}} }, Recover: recoverLogs,
		Commands: func(a ledger.Artifact, dir string) (lines []string) {
			for _, f := range a.Files {
				clear, packed := strings.CutSuffix(f.Name, ".zst")
				if packed {
					lines = append(lines, "zstd -d "+dir+"/"+kind.Quote(f.Name))
				}
				if clear == "journal.export" {
					lines = append(lines, "# apt install systemd-journal-remote, then:",
						"/usr/lib/systemd/systemd-journal-remote -o "+dir+"/out.journal "+dir+"/journal.export", "journalctl --file "+dir+"/out.journal")
				}
			}
			return lines
		}}
}

// seenPart is what a part turned out to hold.
type seenPart struct {
	sum     string
	bytes   int64
	lines   int64
	entries int64 // of a journal; -1: it is none
}

// batchChecker unpacks every part, and holds digests and counts against the index.
type batchChecker struct {
	index *logbatch.Index
	parts map[string]seenPart
}

// lineCount counts lines and bytes, and digests.
type lineCount struct {
	h     io.Writer
	bytes int64
	lines int64
}

func (c *lineCount) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	for _, b := range p {
		if b == '\n' {
			c.lines++
		}
	}
	return c.h.Write(p)
}

func (c *batchChecker) File(ctx context.Context, name string, r io.Reader) error {
	if name == logbatch.File {
		raw, err := io.ReadAll(io.LimitReader(r, 8<<20))
		if err != nil {
			return err
		}
		c.index, err = logbatch.Parse(raw)
		return err
	}
	seen, err := unpackPart(ctx, name, r, io.Discard)
	c.parts[name] = seen
	return err
}

// unpackPart writes the clear bytes of a part and says what they are.
func unpackPart(ctx context.Context, name string, r io.Reader, w io.Writer) (seenPart, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return seenPart{}, err
	}
	defer z.Close()
	sum := sha256.New()
	count := &lineCount{h: io.MultiWriter(sum, w)}
	seen := seenPart{entries: -1}
	clear := struct{ io.Reader }{&ended{ctx, z}}
	if strings.HasPrefix(name, "journal.export") {
		seen.entries = 0
		err = journal.Read(clear, count, func(journal.Entry) error { seen.entries++; return nil })
	} else {
		_, err = io.Copy(count, clear)
	}
	if err != nil {
		return seen, fmt.Errorf("%s: %w", name, err)
	}
	seen.sum, seen.bytes, seen.lines = hex.EncodeToString(sum.Sum(nil)), count.bytes, count.lines
	return seen, nil
}

// ended is a reader that ends with its context.
type ended struct {
	ctx context.Context
	r   io.Reader
}

func (e *ended) Read(p []byte) (int, error) {
	if e.ctx.Err() != nil {
		return 0, context.Cause(e.ctx)
	}
	return e.r.Read(p)
}

func (c *batchChecker) End() error {
	if c.index == nil {
		return fmt.Errorf("%s is missing", logbatch.File)
	}
	if len(c.parts) != len(c.index.Parts) {
		return fmt.Errorf("the batch has %d parts, its index %d", len(c.parts), len(c.index.Parts))
	}
	for _, p := range c.index.Parts {
		if err := compare(p, c.parts[p.File]); err != nil {
			return err
		}
	}
	return nil
}

func compare(p logbatch.Part, seen seenPart) error {
	entries := seen.lines
	if seen.entries >= 0 {
		entries = seen.entries
	}
	if seen.sum != p.SHA256 || seen.bytes != p.Bytes || entries != p.Entries {
		return fmt.Errorf("%s holds %d bytes and %d entries of digest %.12s…; its index says %d, %d, %.12s…", p.File, seen.bytes, entries,
			seen.sum, p.Bytes, p.Entries, p.SHA256)
	}
	return nil
}

// recoverLogs brings back all batches of the source, after their chain was found
// whole, as the files that they were, and a journal as one that journalctl reads.
func recoverLogs(ctx context.Context, j *kind.Job) error {
	type batch struct {
		art   ledger.Artifact
		open  func(context.Context, string) (io.ReadCloser, error)
		index *logbatch.Index
		sum   string
	}
	all := []batch{{art: j.Artifact, open: j.Open}}
	for _, o := range j.Others {
		if o.Artifact.Created.Before(j.Artifact.Created) || o.Artifact.Created.Equal(j.Artifact.Created) {
			all = append(all, batch{art: o.Artifact, open: o.Open})
		}
	}
	for i := range all {
		r, err := all[i].open(ctx, logbatch.File)
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(io.LimitReader(r, 8<<20))
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			all[i].index, err = logbatch.Parse(raw)
		}
		if err != nil {
			return fmt.Errorf("the batch of %s: %w", all[i].art.Created.UTC().Format("2006-01-02 15:04:05Z"), err)
		}
		all[i].sum = logbatch.Digest(raw)
	}
	// Back from the batch that is asked for: what is not before it is another branch,
	// which a ledger that was restored from an older state can have begun.
	byDigest := map[string]int{}
	for i := range all {
		byDigest[all[i].sum] = i
	}
	picked := []batch{all[0]}
	on := map[string]bool{all[0].sum: true}
	for prev := all[0].index.Prev; prev != ""; prev = picked[len(picked)-1].index.Prev {
		i, there := byDigest[prev]
		if !there || on[prev] {
			break
		}
		on[prev] = true
		picked = append(picked, all[i])
	}
	lowest := picked[len(picked)-1].index
	for _, b := range all {
		switch {
		case on[b.sum]:
		case b.index.Seq < lowest.Seq && lowest.Prev != "":
			return fmt.Errorf("the chain of %s is broken: batch %d, which batch %d was made after, is not on this medium or was changed\nhint: "+
				"--archive brings single batches back", j.Artifact.Item, lowest.Seq-1, lowest.Seq)
		default:
			j.Skipped = append(j.Skipped, fmt.Sprintf("left out: batch %d of %s, which is on no way to this one: --id %s brings its own chain back",
				b.index.Seq, b.art.Created.UTC().Format("2006-01-02 15:04:05Z"), b.art.ID))
		}
	}
	all = picked
	sort.SliceStable(all, func(a, b int) bool { return all[a].index.Seq < all[b].index.Seq })
	var chain []*logbatch.Index
	var sums []string
	for _, b := range all {
		chain, sums = append(chain, b.index), append(sums, b.sum)
		for _, g := range b.index.Gaps {
			j.Skipped = append(j.Skipped, fmt.Sprintf("not in batch %d: %s (%s)", b.index.Seq, g.What, g.Why))
		}
	}
	if err := logbatch.Broken(chain, sums); err != nil {
		return fmt.Errorf("the chain of %s is broken: %w\nhint: --archive brings single batches back", j.Artifact.Item, err)
	}
	if first := chain[0].Seq; first > 1 {
		j.Skipped = append(j.Skipped, fmt.Sprintf("left out: batches 1 to %d, which are not on this medium", first-1))
	}
	var entries int64
	for _, b := range all {
		for _, p := range b.index.Parts {
			if err := appendPart(j, ctx, b.open, p); err != nil {
				return err
			}
			entries += p.Entries
		}
	}
	j.Say = append(j.Say, fmt.Sprintf("batches %d to %d, %d entries: the chain is whole", chain[0].Seq, chain[len(chain)-1].Seq, entries))
	return importJournal(j, ctx)
}

// appendPart writes what a part holds behind what earlier ones held of its file. A
// file that was rotated comes back as the log that it was when it was written, below
// the folders that it was in.
func appendPart(j *kind.Job, ctx context.Context, open func(context.Context, string) (io.ReadCloser, error), p logbatch.Part) error {
	name := strings.TrimSuffix(filepath.Base(p.File), ".zst")
	if p.Log != "" {
		name = filepath.Join("files", filepath.Clean("/"+string(p.Log)))
	}
	root, err := os.OpenRoot(j.Into)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	r, err := open(ctx, p.File)
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := root.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if path := filepath.Join(j.Into, name); !slices.Contains(j.Paths, path) {
		j.Paths = append(j.Paths, path)
	}
	seen, err := unpackPart(ctx, p.File, r, f)
	if err == nil {
		_, err = io.Copy(io.Discard, r) // the digest is known at the end
	}
	if err == nil {
		err = compare(p, seen)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("%s: %w\nwhat is in %s is incomplete", p.File, err, j.Into)
	}
	return nil
}

// importJournal makes a journal that journalctl reads, where systemd's own importer
// is there; else it says what to type.
func importJournal(j *kind.Job, ctx context.Context) error {
	export := filepath.Join(j.Into, "journal.export")
	if !slices.Contains(j.Paths, export) {
		return nil
	}
	out := filepath.Join(j.Into, "restored.journal")
	for _, program := range []string{"/usr/lib/systemd/systemd-journal-remote", "/lib/systemd/systemd-journal-remote"} {
		if _, err := os.Stat(program); err != nil {
			continue
		}
		if said, err := exec.CommandContext(ctx, program, "-o", out, export).CombinedOutput(); err != nil {
			return fmt.Errorf("import the journal: %w: %s", err, strings.TrimSpace(string(said)))
		}
		j.Paths = append(j.Paths, out)
		j.Say = append(j.Say, "journalctl --file "+kind.Quote(out))
		return nil
	}
	j.Say = append(j.Say, "apt install systemd-journal-remote, then: /usr/lib/systemd/systemd-journal-remote -o "+kind.Quote(out)+" "+
		kind.Quote(export)+"; journalctl --file "+kind.Quote(out))
	return nil
}
