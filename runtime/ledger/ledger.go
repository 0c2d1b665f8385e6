package ledger

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
)

// Ledger appends to a store with group commit: entries that arrive while a
// commit is under way share the next one. Its methods may be called concurrently.
type Ledger struct {
	Store

	mu      sync.Mutex
	pending []Entry // waits for the next durable write
	queue   []*commit
	busy    bool
	broken  error
}

type commit struct {
	entries []Entry
	done    chan struct{}
	head    Head
	err     error
}

// New returns a ledger over a store.
func New(s Store) *Ledger { return &Ledger{Store: s} }

// Append implements Store as Record does.
func (l *Ledger) Append(ctx context.Context, entries []Entry) (Head, error) {
	return l.Record(ctx, entries...)
}

// Record makes entries durable before it returns. After an error nothing more
// is accepted: what could not be recorded must not be followed by effects.
func (l *Ledger) Record(_ context.Context, entries ...Entry) (Head, error) {
	c := &commit{entries: entries, done: make(chan struct{})}
	l.mu.Lock()
	if l.broken != nil {
		defer l.mu.Unlock()
		return Head{}, l.broken
	}
	c.entries = append(l.pending, c.entries...)
	l.pending = nil
	l.queue = append(l.queue, c)
	if l.busy {
		l.mu.Unlock()
		<-c.done
		return c.head, c.err
	}
	l.busy = true
	l.mu.Unlock()
	goruntime.Gosched() // callers that are ready to record join this commit
	l.mu.Lock()
	l.lead()
	if l.busy = len(l.queue) > 0; l.busy {
		go l.drain() // the others' entries are not this caller's time
	}
	l.mu.Unlock()
	return c.head, c.err
}

// drain commits what was queued until nothing is.
func (l *Ledger) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 {
		// The callers that the last commit released are about to record what they
		// do next: with them the group is twice as large.
		l.mu.Unlock()
		goruntime.Gosched()
		l.mu.Lock()
		l.lead()
	}
	l.busy = false
}

// lead commits what is queued as one group. It is called, and returns, with mu
// held.
func (l *Ledger) lead() {
	group, err := l.queue, l.broken
	l.queue = nil
	l.mu.Unlock()
	head := Head{}
	if err == nil {
		head, err = l.commit(group)
	}
	l.mu.Lock()
	l.broken = err
	for _, c := range group {
		c.head, c.err = head, err
		close(c.done)
	}
}

// commit is not cancelled with the run: an outcome is recorded all the same.
func (l *Ledger) commit(group []*commit) (Head, error) {
	var all []Entry
	for _, c := range group {
		all = append(all, c.entries...)
	}
	if len(all) == 0 {
		return l.Store.Head(context.Background())
	}
	return l.Store.Append(context.Background(), all)
}

// Later records entries with the next durable write: the outcome of a Read may
// wait, since it can be read again.
func (l *Ledger) Later(entries ...Entry) error {
	l.mu.Lock()
	l.pending = append(l.pending, entries...)
	n, err := len(l.pending), l.broken
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if n < 256 {
		return nil
	}
	return l.Flush(context.Background())
}

// Flush makes durable what waits, also what another caller is committing.
func (l *Ledger) Flush(ctx context.Context) error {
	l.mu.Lock()
	idle, err := len(l.pending) == 0 && !l.busy, l.broken
	l.mu.Unlock()
	if idle || err != nil {
		return err
	}
	_, err = l.Record(ctx)
	return err
}

// Close makes durable what waits and closes the store.
func (l *Ledger) Close() error {
	err := l.Flush(context.Background())
	if cerr := l.Store.Close(); err == nil {
		err = cerr
	}
	return err
}

// Checkpoint is the text form of a head, as it is left on targets: an origin
// line, the size, and the root in hex, a line each.
func (h Head) Checkpoint() string {
	return fmt.Sprintf("runner ledger\n%d\n%x\n", h.Size, h.Root[:])
}

// ParseCheckpoint reads the text form, signed or not: what a signature is worth says
// SignedBy.
func ParseCheckpoint(text string) (Head, error) {
	text, _ = unsigned(text)
	var h Head
	line := strings.Split(text, "\n")
	if len(line) != 4 {
		return Head{}, errors.New("parse checkpoint: it is not one")
	}
	size, err := strconv.ParseInt(line[1], 10, 64)
	root, herr := hex.DecodeString(line[2])
	if err != nil || herr != nil || size < 0 || len(root) != len(h.Root) {
		return Head{}, errors.New("parse checkpoint: it is not one")
	}
	h.Size = size
	copy(h.Root[:], root)
	if h.Checkpoint() != text {
		return Head{}, errors.New("parse checkpoint: it is not one")
	}
	return h, nil
}
