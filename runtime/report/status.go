package report

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"time"

	"github.com/neosofia/runner/runtime/ledger"
)

// Live is what can be seen now and is not in the ledger.
type Live struct {
	Media map[string]string     // target -> "attached", "detached", or "" when it cannot be known
	Lab   bool                  // the built-in site
	Found []ledger.Finding      // by looking at targets
	Notes []string              // what could not be looked at, and why
	Alive func(run string) bool // whether a run without an end is still running; nil: none is
}

// Status is the state of everything that the site states. Durations are seconds,
// 0 is "N/A" where the site states none.
type Status struct {
	V           int                `json:"v"` // of this encoding: 1
	At          time.Time          `json:"at"`
	Lab         bool               `json:"lab,omitempty"`
	Result      string             `json:"result"`          // "ok", "degraded": data is safe tonight, or "failed"
	Empty       bool               `json:"empty,omitempty"` // nothing has run yet
	Last        *LastRun           `json:"last_run,omitempty"`
	Assets      []AssetStatus      `json:"assets"`
	Media       []MediumStatus     `json:"media,omitempty"`  // the offline ones
	Rounds      []ledger.Round     `json:"rounds,omitempty"` // of reading back again, where the site demands that
	Keys        []KeyStatus        `json:"keys,omitempty"`   // of targets with sealed copies
	Probes      []ProbeStatus      `json:"probes,omitempty"` // of targets that the site says cannot be changed
	Unprotected []ledger.Exception `json:"unprotected,omitempty"`
	Accepted    []ledger.Exception `json:"accepted_gaps,omitempty"`
	Deviations  []ledger.Deviation `json:"deviations,omitempty"`
	Missing     []Need             `json:"missing"`
	Notes       []string           `json:"notes,omitempty"` // what could not be looked at, and why
}

// LastRun is the newest run, whatever its policy.
type LastRun struct {
	ID     string    `json:"id"`
	Policy string    `json:"policy"` // file, without its ending
	Began  time.Time `json:"began"`
	Result string    `json:"result"` // "" while it lasts, or when it died
}

// AssetStatus is one row of the SOP and what there is of it.
type AssetStatus struct {
	Name      string       `json:"name"`
	Title     string       `json:"title"`
	RPO       int64        `json:"rpo_seconds,omitempty"`
	RTO       int64        `json:"rto_seconds,omitempty"`
	Retention int64        `json:"retention_seconds,omitempty"`
	Online    string       `json:"online,omitempty"` // the SOP's words
	Keep      int          `json:"keep_full,omitempty"`
	Demanded  Sum          `json:"demanded"`
	Free      bool         `json:"free,omitempty"` // no copy is demanded
	Items     []ItemStatus `json:"items"`
	Note      string       `json:"note,omitempty"`
	Parts     []string     `json:"parts,omitempty"` // assets that are a part of it, and may hold everything
}

// ItemStatus is one thing of an asset. The times are estimates from measured
// reading: a restore also writes.
type ItemStatus struct {
	Name    string       `json:"name"`
	Label   string       `json:"label,omitempty"`  // what it is called now, where that is not Name
	Gone    bool         `json:"gone,omitempty"`   // newer inventories do not have it: nothing is demanded
	Newest  *CopyStatus  `json:"newest,omitempty"` // the newest copy that is at least read back
	Age     int64        `json:"age_seconds,omitempty"`
	Every   int64        `json:"every_seconds,omitempty"` // how often it is backed up, where there is no RPO and that was missed
	Copies  []CopyStatus `json:"copies,omitempty"`        // the newest of each target
	Sum     Sum          `json:"sum"`
	Restore int64        `json:"restore_seconds_estimate,omitempty"`
	Rate    int64        `json:"restore_bytes_per_second_estimate,omitempty"`
	Kept    int          `json:"kept_full"`                  // artifacts with a copy that was read back, with all that it needs, and is online
	Incr    int          `json:"kept_incremental,omitempty"` // of them those that need an earlier one, or lie in chunks beside one
	Erases  []Erased     `json:"erases,omitempty"`
}

// CopyStatus is one copy with what is proven of it.
type CopyStatus struct {
	Target string    `json:"target"`
	Taken  time.Time `json:"taken"`
	Bytes  int64     `json:"bytes"`
	Level  string    `json:"level"` // "none", "stored", "read", …; of the whole chain, where it needs others
	Proof  string    `json:"proof"` // in words
	At     time.Time `json:"proven,omitzero"`
	Device string    `json:"device,omitempty"`

	Lacks *ledger.Lack `json:"lacks,omitempty"` // what it needs and is not proven as far on the same target
}

// Need is something that is missing, and what to type.
type Need struct {
	ledger.Finding
}

// NewStatus computes the state as of now, by the demands d.
func NewStatus(ctx context.Context, c ledger.Catalog, d ledger.Demands, now time.Time, live Live) (*Status, error) {
	b := &builder{c: c, j: judge{d: d, now: now}, live: live, out: &Status{V: 1, At: now.UTC(), Lab: live.Lab, Assets: []AssetStatus{},
		Missing:  []Need{},
		Accepted: d.Accepted, Deviations: d.Deviations, Unprotected: d.Unprotected, Notes: live.Notes}}
	rep, err := ledger.Glance(ctx, c.Store)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	damage := rep.Finding(err, live.Lab)
	if damage != nil {
		b.need(*damage)
	}
	if err := b.fill(ctx, d); err != nil && damage != nil {
		return nil, fmt.Errorf("%s: %w\nhint: %s", damage.Text, err, damage.Type)
	} else if err != nil {
		return nil, err
	}
	b.out.Result = ledger.OK
	for _, n := range b.out.Missing {
		if b.out.Result = n.Severity; n.Severity == ledger.Failed {
			break
		}
	}
	return b.out, nil
}

// fill judges everything that the site states.
func (b *builder) fill(ctx context.Context, d ledger.Demands) error {
	if err := b.runs(ctx); err != nil {
		return fmt.Errorf("read the runs: %w", err)
	}
	for _, f := range b.live.Found {
		b.need(f)
	}
	if err := b.media(ctx); err != nil {
		return fmt.Errorf("read the media: %w", err)
	}
	met := map[string]bool{}
	for _, a := range d.Assets {
		if err := b.asset(ctx, a, met); err != nil {
			return fmt.Errorf("read %s: %w", a.Name, err)
		}
	}
	if err := b.rounds(ctx); err != nil {
		return fmt.Errorf("read when copies were read back: %w", err)
	}
	for _, f := range onceForSets(b.lateSets) {
		b.need(f)
	}
	if err := b.probes(ctx); err != nil {
		return fmt.Errorf("read the probes of targets: %w", err)
	}
	if err := b.keys(ctx); err != nil {
		return fmt.Errorf("read the proofs of recovery keys: %w", err)
	}
	var names []string
	for _, a := range d.Assets {
		names = append(names, a.Name)
	}
	for _, f := range b.j.expired(names, met) {
		b.need(f)
	}
	b.interrupted()
	return nil
}

type builder struct {
	c      ledger.Catalog
	j      judge
	live   Live
	recent []ledger.Run // newest first
	ended  map[string]string
	sealed map[string]ledger.Copy // target -> its newest sealed copy
	out    *Status

	lateSets []unkept // of all assets
}

func (b *builder) need(f ledger.Finding) { b.out.Missing = append(b.out.Missing, Need{f}) }

func (b *builder) asset(ctx context.Context, a ledger.AssetDemand, met map[string]bool) error {
	known, err := items(ctx, b.c, a.Name)
	if err != nil {
		return err
	}
	inv, err := b.inventory(ctx, a)
	if err != nil {
		return err
	}
	out := AssetStatus{Name: a.Name, Title: a.Title, RPO: int64(a.RPO / time.Second), RTO: int64(a.RTO / time.Second),
		Retention: int64(a.Retention / time.Second),
		Online:    a.Online, Keep: a.Keep, Note: a.Note, Items: []ItemStatus{}, Demanded: Sum{a.Copies, a.Media, a.Offsite, a.Offline, 0},
		Free: len(a.On) == 0 && a.Copies == 0}
	names := slices.Clone(inv.listed)
	for n := range known {
		names = append(names, n)
	}
	sort.Strings(names)
	rates := rates(known)
	for _, n := range slices.Compact(names) {
		if _, excused := b.j.d.Excused(n, b.j.now); excused {
			continue
		}
		it := known[n]
		if it == nil {
			it = &item{name: n}
		}
		gone := inv.gone(it)
		line := b.item(a, it, gone, rates, met)
		line.Label = inv.label[n]
		if inv.hidden[n] && !gone {
			b.need(ledger.Finding{Severity: ledger.Failed, Asset: a.Name, Item: n,
				Text: n + " exists, and the token may not see it: it is not saved any more" + lastCopy(line),
				Type: "runner check POLICY.star names the right; or leave it out: unprotected(…) in site.star"})
		}
		if line.Erases, err = b.erased(ctx, a, it, gone); err != nil {
			return err
		}
		out.Items = append(out.Items, line)
	}
	for _, part := range b.j.d.Parts(a.Name) {
		if part != a.Name {
			out.Parts = append(out.Parts, part)
		}
	}
	whole := len(out.Parts) > 0
	if len(out.Items) == 0 && !whole && (len(a.On) > 0 || a.Copies > 0) {
		b.need(ledger.Finding{Severity: ledger.Failed, Asset: a.Name, Text: fmt.Sprintf("nothing of %s was ever backed up", a.Name),
			Type: b.command(a.Name)})
	}
	if len(out.Items) == 0 && !whole && len(a.On) == 0 && a.Copies == 0 && (a.RPO > 0 || a.Retention > 0) {
		b.need(ledger.Finding{Severity: ledger.DegradedRun, Asset: a.Name, Text: fmt.Sprintf("nothing protects %s: the SOP asks for it, and "+
			"the site demands no copy", a.Name),
			Type: fmt.Sprintf("add on = {\"TARGET\": \"read\"} to asset(name = %q), and run a policy that protects it", a.Name)})
	}
	b.out.Assets = append(b.out.Assets, out)
	return nil
}

// inventory is what an asset's items are by the site and by those who were asked.
type inventory struct {
	listed []string             // by the site, and by the newest inventory of each system
	seen   map[string]time.Time // when an inventory last had it
	hidden map[string]bool      // the newest inventory could not see it, and it is there
	label  map[string]string    // what the newest inventory calls it, where that is another name
	newest time.Time            // inventory; zero: there was none
}

// inventory reads what was listed. The newest inventory of a system says what it holds;
// of what is in none, such as the items of two policies that each name a part, what was
// seen within the RPO before the newest is still there.
func (b *builder) inventory(ctx context.Context, a ledger.AssetDemand) (inventory, error) {
	inv := inventory{listed: slices.Clone(a.Items), seen: map[string]time.Time{}, label: map[string]string{}, hidden: map[string]bool{}}
	last := map[string]string{}  // system -> run of its newest inventory
	of := map[string][2]string{} // item -> system and run that had it last
	loose := map[string]time.Time{}
	err := b.c.Rows(ctx, ledger.Query{Kind: ledger.RowItem, Asset: a.Name}, func(r ledger.Row) error {
		it, err := decode[ledger.Item](r)
		if err != nil {
			return err
		}
		inv.seen[r.Item], inv.newest, inv.label[r.Item], inv.hidden[r.Item] = r.Time, r.Time, it.Label, it.State == ledger.Hidden
		if it.Source == "" {
			loose[r.Item] = r.Time
		} else {
			last[it.Source], of[r.Item] = r.Run, [2]string{it.Source, r.Run}
		}
		return ctx.Err()
	})
	for item, at := range of {
		if last[at[0]] == at[1] {
			inv.listed = append(inv.listed, item)
		}
	}
	for item, at := range loose {
		if _, reported := of[item]; !reported && inv.newest.Sub(at) <= max(a.RPO, day) {
			inv.listed = append(inv.listed, item)
		}
	}
	return inv, err
}

// gone reports that an item is in no inventory any more. One that no inventory ever had
// is new as long as none was made since.
func (inv inventory) gone(it *item) bool {
	if len(inv.listed) == 0 || slices.Contains(inv.listed, it.name) {
		return false
	}
	_, had := inv.seen[it.name]
	return had || inv.newest.IsZero() || it.newest == nil || it.newest.Created.Before(inv.newest)
}

func (b *builder) item(a ledger.AssetDemand, it *item, gone bool, rates map[string]int64, met map[string]bool) ItemStatus {
	out := ItemStatus{Name: it.name, Gone: gone}
	targets := map[string]bool{}
	kept := keptOf{}
	for i := range it.copies {
		c := it.copies[i]
		b.noteSealed(c.Copy)
		if !targets[c.Target] {
			targets[c.Target] = true
			cs := copyStatus(c)
			if it.superseded(c.Artifact) {
				cs.Proof += superseded
			}
			out.Copies = append(out.Copies, cs)
		}
		if c.Level < ledger.Read || c.Taken.After(b.j.now.Add(ahead)) {
			continue
		}
		if out.Newest == nil {
			newest := copyStatus(c)
			out.Newest, out.Age = &newest, int64(max(0, b.j.now.Sub(c.Taken))/time.Second)
		}
		kept.add(c)
	}
	out.Kept, out.Incr = kept.count()
	sort.SliceStable(out.Copies, func(i, k int) bool { return out.Copies[i].Target < out.Copies[k].Target })
	out.Restore, out.Rate = b.restore(it, rates)
	counted := b.count(a, it)
	out.Sum = counted.sum
	if every := it.every(a); a.RPO == 0 && out.Newest != nil && b.j.now.Sub(out.Newest.Taken) > every+every/slack {
		out.Every = int64(every / time.Second)
	}
	if !gone {
		b.missing(a, it, out, counted, met)
	}
	return out
}

func copyStatus(c ledger.Proven) CopyStatus {
	return CopyStatus{Target: c.Target, Taken: c.Taken, Bytes: c.Bytes, Level: ledger.LevelName(c.Level), Proof: proofWords(c), At: c.At,
		Device: deviceOf(c.Copy), Lacks: c.Lacks}
}

// keptOf are artifacts with a copy that was read back and is online, each by the cheapest
// form that it is kept in.
type keptOf map[string]form

type form int

const (
	whole     form = iota // on one target by itself
	chunked               // in chunks alone, beside others of its item: what did not change is there once
	increment             // it needs an earlier artifact
)

func (k keptOf) add(c ledger.Proven) {
	if c.Offline {
		return
	}
	f := whole
	switch {
	case c.Whole > c.Bytes:
		f = increment
	case c.Decoded():
		f = chunked
	}
	if had, ok := k[c.Artifact]; !ok || f < had {
		k[c.Artifact] = f
	}
}

// count counts them, and the increments among them. Of those in chunks alone one is full,
// where nothing else is.
func (k keptOf) count() (all, incr int) {
	shared := 0
	for _, f := range k {
		switch f {
		case increment:
			incr++
		case chunked:
			shared++
		}
	}
	if shared > 0 && incr+shared == len(k) {
		shared--
	}
	return len(k), incr + shared
}
