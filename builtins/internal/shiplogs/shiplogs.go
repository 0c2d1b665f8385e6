package shiplogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/client/logs"
	"github.com/neosofia/runner/builtins/internal/format/logbatch"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

const (
	mostLogs = 1 << 30
	skew     = 5 * time.Minute // by which two clocks may differ
)

// What the ledger keeps of a batch for the next one.
const (
	declaredSeq      = "seq"
	declaredDigest   = "digest" // of its index
	declaredPosition = "position"
	declaredEntries  = "entries"
	declaredFrom     = "from"
)

// Request is what a policy asks for; ship_logs documents its arguments.
type Request struct {
	Source string
	Most   int64
	Asset  string
}

// shipment is one call.
type shipment struct {
	s     *runtime.Step
	w     *systems.Systems
	src   *site.Logs
	asset string
	most  int64

	index  logbatch.Index
	found  []ledger.Finding
	behind bool
	moved  string // where the batches before came from, when it was another place
}

// Ship collects what is new in a source into a batch, and returns it after those that are
// not on every target yet.
func Ship(ctx context.Context, s *runtime.Step, a *Request) (runtime.Result, error) {
	h := &shipment{s: s, w: systems.Of(s), most: a.Most}
	var err error
	if h.src, err = h.w.Site.LogsNamed(a.Source); err != nil {
		return runtime.Result{}, err
	}
	if h.asset, err = h.w.Asset(a.Asset, "system_logs"); err != nil {
		return runtime.Result{}, err
	}
	if h.most <= 0 {
		h.most = mostLogs
	}
	waiting, err := h.before(ctx)
	if err != nil {
		return runtime.Result{}, err
	}
	art, err := h.batch(ctx)
	if err != nil {
		return runtime.Result{}, h.word(err)
	}
	h.judge(art)
	return runtime.Result{Value: append(waiting, art), Facts: ledger.Facts{Artifacts: []ledger.Artifact{art}, Findings: h.found}}, nil
}

// mostWaiting bounds the encoding of the batches that one call returns beside its own:
// each carries a position, and a result is bounded. The others come with later calls.
const mostWaiting = 96 << 10

func oldest(waiting []ledger.Artifact) []ledger.Artifact {
	size := 0
	for i, a := range waiting {
		raw, err := json.Marshal(a)
		if size += len(raw); err != nil || i > 0 && size > mostWaiting {
			return waiting[:i]
		}
	}
	return waiting
}

// before finds the batches that wait in the spool, and where the next one begins:
// behind the last batch that still exists, in the spool or on a target.
func (h *shipment) before(ctx context.Context) (waiting []ledger.Artifact, err error) {
	c, err := h.s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	all, err := c.Artifacts(ctx, ledger.Query{Item: h.src.Name}) // whatever asset it was then
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a ledger.Artifact) bool { return a.Kind != "logs" || a.ID == h.s.ArtifactID() })
	slices.SortStableFunc(all, func(a, b ledger.Artifact) int { return int(seqOf(a) - seqOf(b)) }) // a clock may have gone back
	h.index = logbatch.Index{Source: h.src.Name, Host: h.src.Host, Kind: kindOf(h.src), Seq: 1}
	from := len(all) - 1
	for ; from >= 0; from-- {
		stands, err := h.stands(ctx, c, all[from])
		if err != nil {
			return nil, err
		}
		if stands {
			break
		}
		h.s.Log("%s: batch %s of %s exists nowhere any more: what it held is collected again", h.src.Name, all[from].Declared[declaredSeq],
			all[from].Created.Format(time.RFC3339))
	}
	if from < 0 {
		return nil, nil
	}
	if err := h.after(all[from]); err != nil {
		return nil, err
	}
	for _, a := range all[:from+1] {
		if !h.w.Spool().Has(a) {
			continue
		}
		done, err := h.w.Everywhere(ctx, c, a)
		if err != nil {
			return nil, err
		}
		if !done {
			waiting = append(waiting, a)
		}
	}
	if len(waiting) > 0 {
		h.s.Log("%s: %d batches wait in the spool for a target", h.src.Name, len(waiting))
	}
	return oldest(waiting), nil
}

func seqOf(a ledger.Artifact) int64 {
	n, err := strconv.ParseInt(a.Declared[declaredSeq], 10, 64)
	if err != nil {
		return 0 // after says so, when it matters
	}
	return n
}

// kindOf is what a source holds.
func kindOf(src *site.Logs) string {
	switch {
	case src.Ledger:
		return logbatch.Ledger
	case src.Journal:
		return logbatch.Journal
	case src.PVETasks:
		return logbatch.Tasks
	}
	return logbatch.Lines
}

// stands reports whether a batch can still be had. A copy that was not read back is
// one, too: after a ledger was rebuilt, all are.
func (h *shipment) stands(ctx context.Context, c ledger.Catalog, a ledger.Artifact) (bool, error) {
	if h.w.Spool().Has(a) {
		return true, nil
	}
	copies, err := c.Copies(ctx, ledger.Query{Ref: a.ID})
	if err != nil {
		return false, err
	}
	for _, cp := range copies {
		bad, err := c.Damaged(ctx, cp.ID)
		if err != nil {
			return false, err
		}
		if !bad {
			return true, nil
		}
	}
	return false, nil
}

// after begins where a batch ended.
func (h *shipment) after(a ledger.Artifact) error {
	var pos logbatch.Position
	if err := json.Unmarshal([]byte(a.Declared[declaredPosition]), &pos); err != nil || a.Declared[declaredDigest] == "" || seqOf(a) < 1 {
		return &failure.Error{Code: CodeChain, System: "logs " + h.src.Name, Doing: "find where batch " + a.ID + " ended",
			Said: "the ledger does not say it",
			Hint: "runner ledger verify shows whether the record is whole"}
	}
	h.index.Seq, h.index.Prev = seqOf(a)+1, a.Declared[declaredDigest]
	if was := a.Declared[declaredFrom]; was != h.from() {
		h.moved = was
		return nil // a position on one machine means nothing on another
	}
	h.index.After = pos
	return nil
}

// from names where the logs come from.
func (h *shipment) from() string { return h.index.Kind + " on " + h.src.Host }

// devices are those that the source lies on, where that is this machine.
func (h *shipment) devices() []string {
	if h.src.Ledger {
		return h.w.DevicesOf(filepath.Dir(h.w.Env.Spool))
	}
	if on, err := h.w.Site.Host(h.src.Host); err != nil || !on.Local || h.w.Env.Root != "" {
		return nil
	}
	var places []string
	switch {
	case h.src.Journal:
		places = []string{"/var/log/journal"}
	case h.src.PVETasks:
		places = []string{"/var/log/pve/tasks"}
	}
	return h.w.DevicesOf(append(places, h.src.Folders()...)...)
}

// batch collects one batch into the spool.
func (h *shipment) batch(ctx context.Context) (ledger.Artifact, error) {
	art := ledger.Artifact{ID: h.s.ArtifactID(), Kind: "logs", Asset: h.asset, Item: h.src.Name, Run: h.s.Run, Step: h.s.ID,
		Source: "logs " + h.src.Name, Created: h.s.Now()}
	art.Devices = h.devices()
	sp, err := h.w.Spool().Begin(h.s)
	if err != nil {
		return art, err
	}
	defer sp.Discard() // nothing is left of it once it is done
	got, err := h.collect(ctx, sp)
	if err != nil {
		return art, err
	}
	if h.moved != "" {
		got.Gaps = append(got.Gaps, logbatch.Gap{What: "what was not shipped of the " + h.moved,
			Why: "the site says now that the source is the " + h.from() + ", which begins anew"})
	}
	if now := h.s.Now(); got.After.Newest.After(now.Add(skew)) {
		h.find(ledger.DegradedRun, "%s holds entries of the future, up to %s: look at the clock of %s", h.src.Name,
			got.After.Newest.Format(time.RFC3339), h.src.Host)
		got.After.Newest = now // else its silence would not be noticed until then
	}
	x := h.index
	x.Parts, x.Gaps, x.Boots, x.First, x.Last, x.After = got.Parts, got.Gaps, got.Boots, got.First, got.Last, got.After
	for _, p := range got.Parts {
		x.Entries, x.Bytes = x.Entries+p.Entries, x.Bytes+p.Bytes
	}
	encoded, err := x.Encode()
	if err != nil {
		return art, err
	}
	if err := sp.Put(logbatch.File, encoded); err != nil {
		return art, err
	}
	if art.Files, art.Origin, err = sp.Done(); err != nil {
		return art, err
	}
	position, err := json.Marshal(x.After)
	if err != nil {
		return art, err
	}
	for _, f := range art.Files {
		art.Bytes += f.Size
	}
	for _, g := range got.Gaps {
		art.Gaps = append(art.Gaps, ledger.Gap{Asset: h.asset, Item: h.src.Name, What: g.What, Why: g.Why})
	}
	art.Declared = map[string]string{declaredSeq: fmt.Sprint(x.Seq), declaredDigest: logbatch.Digest(encoded),
		declaredPosition: string(position), declaredEntries: fmt.Sprint(x.Entries), declaredFrom: h.from()}
	h.index, h.behind = x, got.More
	if got.Damaged != "" {
		h.find(ledger.DegradedRun, "%s: what could be read of the damaged source is saved: %s", h.src.Name, got.Damaged)
	}
	return art, nil
}

// collect asks the source.
func (h *shipment) collect(ctx context.Context, sp *spool.Draft) (*logs.Collected, error) {
	pos := h.index.After
	if h.src.Ledger {
		return h.entries(ctx, pos, sp)
	}
	on, _, err := h.w.Host(ctx, h.src.Host)
	if err != nil {
		return nil, err
	}
	defer on.Close()
	switch {
	case h.src.Journal:
		return logs.Journal(ctx, on, pos, h.most, sp)
	case h.src.PVETasks:
		return logs.Tasks(ctx, on, pos, sp)
	}
	return logs.Files(ctx, on, h.src.Files, pos, h.most, sp)
}

// entries are runner's own, of all runs, up to now.
func (h *shipment) entries(ctx context.Context, pos logbatch.Position, sp *spool.Draft) (*logs.Collected, error) {
	catalog, err := h.s.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	got := &logs.Collected{After: pos}
	stop := errors.New("enough for one batch")
	var size int64
	part, err := logs.Lines("ledger.jsonl.zst", sp, func(write func([]byte) error) error {
		err := catalog.Entries(ctx, ledger.Filter{From: pos.Seq}, func(e ledger.Entry) error {
			if size >= h.most {
				got.More = true
				return stop
			}
			line, err := json.Marshal(e)
			if err != nil {
				return err
			}
			size += int64(len(line))
			if got.First.IsZero() {
				got.First = e.Time
			}
			got.Last, got.After.Newest, got.After.Seq = e.Time, e.Time, e.Seq+1
			return write(line)
		})
		if errors.Is(err, stop) {
			return nil
		}
		return err
	})
	got.Parts = []logbatch.Part{part}
	return got, err
}

// word names an error for the operator.
func (h *shipment) word(err error) error {
	var own *failure.Error
	var read *logs.ReadError
	switch {
	case errors.As(err, &own), errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &read):
		return &failure.Error{Code: CodeRead, System: "logs " + h.src.Name, Doing: "collect what is new on " + h.src.Host, Said: read.Error(),
			Cause: err,
			Hint:  "nothing was taken, and nothing is lost: the next call begins where this one did"}
	case errors.Is(err, logs.ErrChanging):
		return &failure.Error{Code: CodeChanging, System: "logs " + h.src.Name, Doing: "collect what is new on " + h.src.Host, Said: err.Error(),
			Temporary: true}
	}
	return host.Explain(h.src.Host, "collect logs", err)
}

func (h *shipment) find(severity, format string, args ...any) {
	h.found = append(h.found, ledger.Finding{Severity: severity, Asset: h.asset, Item: h.src.Name, Text: fmt.Sprintf(format, args...)})
}

// judge says of silence, and of a source that is written faster than it is read.
func (h *shipment) judge(art ledger.Artifact) {
	if h.behind {
		h.find(ledger.DegradedRun, "%s: more than %d bytes are new: the rest waits for the next run", h.src.Name, h.most)
	}
	newest := h.index.After.Newest
	if h.src.Silent == 0 {
		return
	}
	if newest.IsZero() {
		h.find(ledger.Failed, "%s has never said anything", h.src.Name)
		return
	}
	if quiet := art.Created.Sub(newest); quiet > h.src.Silent {
		h.find(ledger.Failed, "%s has been silent for %s, since %s; %s is usual: is what writes it still running?", h.src.Name,
			quiet.Truncate(time.Minute), newest.Format(time.RFC3339), h.src.Silent)
	}
}
