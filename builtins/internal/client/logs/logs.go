// Package logs reads sources of logs on a host from where the last batch ended: the
// systemd journal by its cursor, files by what they hold rather than by their names,
// task logs of Proxmox VE by their index. Nothing on the host is changed, and no
// position is kept there: the caller's last batch says where to go on.
//
// What is lost in between is reported as a gap. The journal numbers its entries. Of each
// file of a log a mark is kept: what it begins with, what lies before the offset to
// which it was read, and how it lay there. A file that begins so, and goes on so up to
// the offset, is that file, whatever it is called now, packed or not: it is read on
// from there. One that lies there unchanged is not opened. What is the beginning of
// the log itself is a copy that is being made, and is not read. The rest is new. Names
// only say which new files can be a log's, and with the times, in which order.
//
// Not everything can be known. Files that begin with the same lines and hold no others
// yet cannot be told apart; lines that are written between the copy and the truncation
// of a log are lost, unless a batch comes just then; and a first batch in the middle of
// copying a log of less than 1 KiB ships its beginning twice.
//
// journalctl, stat and the files themselves are read with the host's own programs:
// libraries that read journal files are young, or need C.
package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/journal"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
)

// Collected is what a source gave.
type Collected struct {
	Parts   []logbatch.Part
	Gaps    []logbatch.Gap
	Boots   []string
	First   time.Time
	Last    time.Time
	After   logbatch.Position
	More    bool   // the limit was reached: more waits
	Damaged string // what the source said of damage; what could be read was
}

func (c *Collected) gap(what, format string, args ...any) {
	c.Gaps = append(c.Gaps, logbatch.Gap{What: what, Why: fmt.Sprintf(format, args...)})
}

// ReadError says that a source could not be read.
type ReadError struct{ Source, Said string }

func (e *ReadError) Error() string { return "read " + e.Source + ": " + e.Said }

// ErrChanging says that a file changed its place again and again while it was read.
var ErrChanging = errors.New("the files are rotated faster than they can be read")

var errFull = errors.New("enough for one batch")

const maxGaps = 100

// JournalFile is the name of the journal's part in a batch.
const JournalFile = "journal.export.zst"

// Journal reads the journal behind a cursor. most is the number of bytes after which
// no further entry is begun.
func Journal(ctx context.Context, h host.Host, pos logbatch.Position, most int64, sink Sink) (*Collected, error) {
	args := []string{"journalctl", "-o", "export", "--all", "--no-pager", "--quiet"}
	if pos.Cursor != "" {
		// Not --after-cursor: where the entry was vacuumed, systemd seeks to the first
		// one behind it, and then skips that.
		args = append(args, "--cursor="+pos.Cursor)
	}
	p, err := newPart(sink, JournalFile, "", 0)
	if err != nil {
		return nil, err
	}
	j := &journalRead{c: &Collected{After: pos}, last: []byte(pos.Cursor), shipped: []byte(pos.Cursor), highest: map[string]uint64{},
		out: bufio.NewWriterSize(p, 256<<10), most: most}
	j.reach(j.last)
	tails, err := sequences(ctx, h)
	if err == nil {
		err = j.run(ctx, h, args)
	}
	if err == nil {
		j.whole(tails)
		err = j.out.Flush()
	}
	if err == nil {
		err = p.close()
	}
	if err != nil {
		return nil, errors.Join(err, p.drop())
	}
	if j.n > 0 {
		j.c.After.Cursor = string(j.last)
	}
	p.Entries = j.n
	j.c.Parts = []logbatch.Part{p.Part}
	return j.c, nil
}

type journalRead struct {
	c     *Collected
	out   *bufio.Writer // fields are small: digests and compression want more at once
	size  int64
	most  int64
	n     int64
	boot  string
	last  []byte // cursor
	wrong int    // gaps that were not reported any more

	shipped []byte            // cursor of the last entry of the batch before
	highest map[string]uint64 // number by sequence
}

// skip is for the entry that the batch before ended with: journalctl begins with it
// where it is still there.
func (j *journalRead) skip(cursor []byte) bool {
	if len(j.shipped) == 0 {
		return false
	}
	same := sameEntry(cursor, j.shipped)
	j.shipped = nil // it is the first, or not there
	return same
}

// sameEntry compares cursors by sequence and number; systemd does it likewise, where
// both have them.
func sameEntry(a, b []byte) bool {
	ida, na, oka := journal.Sequence(a)
	idb, nb, okb := journal.Sequence(b)
	if oka && okb {
		return na == nb && string(ida) == string(idb)
	}
	return string(a) == string(b)
}

func (j *journalRead) run(ctx context.Context, h host.Host, args []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pr, pw, err := blockingPipe()
	if err != nil {
		return err
	}
	defer pr.Close()
	type end struct {
		r   host.Result
		err error
	}
	ended := make(chan end, 1)
	go func() {
		r, err := h.Run(ctx, host.Command{Args: args, Stdout: pw, Limit: 1 << 20})
		pw.Close()
		ended <- end{r, err}
	}()
	err = journal.ReadBehind(pr, j.out, j.skip, j.entry)
	if err != nil && !errors.Is(err, journal.ErrCut) {
		cancel() // what journalctl says to that is not wanted
		pr.Close()
		<-ended
		if j.c.More = errors.Is(err, errFull); j.c.More {
			return nil
		}
		return err
	}
	e := <-ended
	said := strings.TrimSpace(string(e.r.Stderr))
	switch {
	case e.err != nil:
		return e.err
	case e.r.Exit != 0 && (errors.Is(err, journal.ErrCut) || j.n == 0):
		return &ReadError{"the journal", fmt.Sprintf("journalctl ended with %d: %s", e.r.Exit, host.Tail([]byte(said)))}
	case errors.Is(err, journal.ErrCut):
		return &ReadError{"the journal", "journalctl ended within an entry"}
	case e.r.Exit != 0 || damaged(said):
		j.c.Damaged = host.Tail([]byte(said))
		j.c.gap("entries in damaged files", "journalctl ended with %d and said: %s", e.r.Exit, j.c.Damaged)
	}
	if j.wrong > 0 {
		j.c.gap("journal entries", "%d more gaps in the numbers of entries", j.wrong)
	}
	return nil
}

// blockingPipe is a pipe of the kernel, into which a program of this machine writes
// itself. journalctl writes 4 KiB at a time: a reader that blocks takes them for half
// of what it costs to be woken for each, as os.Pipe's is.
func blockingPipe() (r, w *os.File, err error) {
	var ends [2]int
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := syscall.Pipe(ends[:]); err != nil {
		return nil, nil, os.NewSyscallError("pipe", err)
	}
	syscall.CloseOnExec(ends[0])
	syscall.CloseOnExec(ends[1])
	return os.NewFile(uintptr(ends[0]), "journal"), os.NewFile(uintptr(ends[1]), "journal"), nil
}

// damaged recognises what journalctl says of files that it cannot read whole.
func damaged(said string) bool {
	for _, w := range []string{"corrupt", "truncated", "Bad message", "Failed to"} {
		if strings.Contains(said, w) {
			return true
		}
	}
	return false
}

// entry notes where the stream stands, and what is missing before this entry.
func (j *journalRead) entry(e journal.Entry) error {
	if len(e.Cursor) == 0 {
		return &ReadError{"the journal", "an entry has no cursor"}
	}
	if len(j.last) > 0 {
		j.between(j.last, e.Cursor)
	}
	j.last = append(j.last[:0], e.Cursor...)
	j.reach(e.Cursor)
	if e.Time.After(j.c.After.Newest) {
		j.c.After.Newest = e.Time
	}
	if j.n++; j.n == 1 {
		j.c.First = e.Time
	}
	j.c.Last = e.Time
	if string(e.Boot) != j.boot && len(j.c.Boots) < maxGaps {
		j.boot = string(e.Boot)
		j.c.Boots = append(j.c.Boots, j.boot)
	}
	if j.size += e.Bytes; j.size >= j.most {
		return errFull
	}
	return nil
}

// between compares the numbers of two entries that follow each other.
func (j *journalRead) between(a, b []byte) {
	ida, na, oka := journal.Sequence(a)
	idb, nb, okb := journal.Sequence(b)
	switch {
	case oka && okb && string(ida) == string(idb) && nb == na+1:
		return
	case len(j.c.Gaps) >= maxGaps:
		j.wrong++
	case !oka || !okb:
		j.c.gap("journal entries", "a cursor without a number: what lies between %q and %q is not known", a, b)
	case string(ida) != string(idb):
		if j.n == 0 { // within a batch, files of several sequences follow each other
			j.c.gap("journal entries after "+fmt.Sprint(na), "the journal was begun anew: whether entries behind that number were lost is not known")
		}
	case nb > na+1:
		j.c.gap(fmt.Sprintf("journal entries %d to %d", na+1, nb-1), "they were gone before they were read: vacuumed, or in a damaged file")
	default:
		j.c.gap("journal entries", "number %d came after %d", nb, na)
	}
}
