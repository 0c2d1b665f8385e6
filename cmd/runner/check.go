package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/neosofia/runner/builtins/capacity"
	"github.com/neosofia/runner/builtins/preflight"
	"github.com/neosofia/runner/builtins/site"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/spf13/cobra"
)

func checkCommand(f *flags) *cobra.Command {
	var ask bool
	c := &cobra.Command{
		Use: "check POLICY.star...", Short: "find faults without running anything",
		Long: "check resolves the load graph, compiles every file, and checks the arguments of every call and the names that it uses against " +
			"the site. Unless --ask=false, it also tries, changing nothing, what the night will need: every target with its free space, where " +
			"one that the site describes wrongly is a fault; of a Proxmox VE the token and its rights guest by guest, the storage with its space " +
			"and limits, and the way to the archives; of other systems the login or the secret; of every host whether a rescue image of it would " +
			"erase guests that are proven nowhere else. All faults are told at once, and last.\n\n" +
			"What exec would run all the same is a warning, and does not refuse the policy: a load that is not used, a line that is never " +
			"reached, a name that hides a builtin, a name of the site that a loop might not use.",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: policies,
		RunE: func(c *cobra.Command, args []string) error { return f.check(c.Context(), args, ask) },
	}
	c.Flags().BoolVar(&ask, "ask", true, "ask targets for their free space, and hosts for their disks (dials them, reads only)")
	return c
}

type checked struct {
	Policy   string   `json:"policy"`
	Files    int      `json:"files"`
	Code     string   `json:"code"`
	Faults   []string `json:"faults,omitempty"`
	Warnings []string `json:"warnings,omitempty"`
	Notes    []string `json:"notes,omitempty"`

	program *runtime.Program
}

func (f *flags) check(ctx context.Context, policies []string, ask bool) (err error) {
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(policies[0]); err != nil {
		return err
	}
	var all []*checked
	code := exitRefused
	for _, path := range policies {
		c := &checked{Policy: path}
		all = append(all, c)
		if c.program, err = f.runtime().Load(path, nil); err != nil {
			c.Faults = []string{message(err)}
			if limit := codeOf(err); limit == exitLimit {
				code = limit
			}
			continue
		}
		c.Files, c.Code = len(c.program.Graph.Modules), c.program.Graph.Digest()
	}
	names := builtins.SiteNames(s.site)
	var catalog ledger.Catalog
	if ask {
		if catalog, err = s.known(ctx); err != nil {
			return err
		}
		if calls(all, "snapshot_vm") {
			if guests, ok := preflight.GuestNames(ctx, s.world, catalog); ok {
				names["guest"] = guests
			}
		}
	}
	_, saved := s.site.Demands.Asset(site.KindsOfSystems["keyring"])
	for _, c := range all {
		c.look(names)
		if c.program == nil {
			continue
		}
		if saved && c.program.CallsWithout("seal_secrets", "recipients", "threshold") {
			c.refusal("seal_secrets()", builtins.ForeseeSecrets(s.site))
		}
		c.Notes = append(c.Notes, c.program.Lacks(s.site.Names())...)
	}
	var a asked
	if ask {
		a = s.ask(ctx, catalog, all)
	}
	if err := f.printCheck(all, a, s.site.Expired(time.Now())); err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(c *checked) bool { return len(c.Faults) > 0 }) ||
		slices.ContainsFunc(a.targets, capacity.Fullness.Refused) ||
		slices.ContainsFunc(a.systems, func(n preflight.Fault) bool { return !n.Note }) {
		return &exit{code, nil}
	}
	return nil
}

// refusal notes that a call would be refused.
func (c *checked) refusal(call string, err error) {
	if err != nil {
		c.Faults = append(c.Faults, call+" is refused: "+err.Error())
	}
}

// look finds what can be seen in the policy itself.
func (c *checked) look(names runtime.Names) {
	if c.program == nil {
		return
	}
	for _, d := range c.program.Check(names) {
		if d.Warning {
			c.Warnings = append(c.Warnings, d.String())
		} else {
			c.Faults = append(c.Faults, d.String())
		}
	}
}

func calls(all []*checked, primitive string) bool {
	return slices.ContainsFunc(all, func(c *checked) bool { return c.program != nil && c.program.Calls(primitive) })
}

// asked is what systems and targets answered.
type asked struct {
	targets []capacity.Fullness
	systems []preflight.Fault
	missed  func(capacity.Fullness) bool // of a target that was not reached, and should have been; nil: none
}

// ask dials targets and hosts, and reads.
func (s *session) ask(ctx context.Context, catalog ledger.Catalog, all []*checked) (a asked) {
	needs := preflight.Needs{FilesAsset: builtins.FilesAsset}
	images := sync.OnceValue(func() []builtins.Foreseen { return builtins.ForeseeImages(ctx, s.world, catalog) })
	for _, c := range all {
		if c.program == nil {
			continue
		}
		needs.Guests = needs.Guests || c.program.Calls("snapshot_vm") || c.program.Calls("guests")
		needs.Firewall = needs.Firewall || c.program.Calls("export_firewall")
		needs.Zones = needs.Zones || c.program.Calls("export_dns")
		needs.Images = needs.Images || c.program.Calls("rear_host")
		needs.Logs = needs.Logs || c.program.Calls("ship_logs")
		needs.Files = needs.Files || c.program.Calls("save_files")
		needs.Restores = needs.Restores || c.program.Calls("restore_vm")
		needs.Paths = append(needs.Paths, c.program.Paths("save_files", "paths")...)
		if _, saved := s.site.Demands.Asset(site.KindsOfSystems["host"]); !saved || !c.program.Calls("rear_host") {
			continue
		}
		for _, i := range images() {
			c.foresee(i)
		}
	}
	a.systems = preflight.Night(ctx, s.world, catalog, needs)
	a.targets = capacity.DaysUntilFull(ctx, s.world, s.ledger, time.Now())
	return a
}

// known opens what systems are asked through, and what the ledger knows of them: nothing,
// where there is none yet.
func (s *session) known(ctx context.Context) (ledger.Catalog, error) {
	catalog := ledger.Catalog{Store: ledger.NewMemory()}
	if _, err := os.Stat(s.ledgerPath()); err == nil {
		if err := s.openLedger(ctx, false); err != nil {
			return catalog, err
		}
		catalog.Store = s.ledger
	} else if !errors.Is(err, fs.ErrNotExist) {
		return catalog, err
	}
	return catalog, s.openWorld(ctx)
}

// foresee refuses a policy whose image would be refused. One that copies guests
// itself may be about to prove them: then it is a note.
func (c *checked) foresee(i builtins.Foreseen) {
	text := i.Error
	if i.Hint != "" {
		text += "\nhint: " + i.Hint
	}
	switch {
	case i.Error == "":
	case !i.Refused:
		c.Notes = append(c.Notes, fmt.Sprintf("what a recovery of host %s would erase was not weighed: %s", i.Host, text))
	case c.program.Calls("snapshot_vm"):
		c.Notes = append(c.Notes, fmt.Sprintf("rear_host(host = %q) is refused as things are, unless this policy proves the guests first: %s",
			i.Host, text))
	default:
		c.Faults = append(c.Faults, fmt.Sprintf("rear_host(host = %q) is refused: %s", i.Host, text))
	}
}

func (f *flags) printCheck(all []*checked, a asked, expired []string) error {
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"policies": all, "targets": a.targets, "systems": a.systems, "expired": expired,
			"lab": f.lab})
	}
	out := &checkSheet{lab: labMark(f.lab)}
	for _, c := range all {
		out.policy(c)
	}
	out.asked(expired, a)
	out.print()
	return nil
}

// checkEntry is one thing that check found: its text may hold lines of a policy.
type checkEntry struct{ word, text, hint string }

func (e checkEntry) print(lab string) {
	first, rest, _ := strings.Cut(e.text, "\n")
	sheet{lab}.print(e.word, first)
	if rest != "" {
		fmt.Println(rest)
	}
	if e.hint != "" {
		sheet{}.print("hint: ", e.hint)
	}
}

// checkSheet collects what check prints: faults come last, where a reader looks first.
type checkSheet struct {
	lab           string
	lines, faults []checkEntry
}

func (s *checkSheet) add(fault bool, word, text, hint string) {
	if e := (checkEntry{word, text, hint}); fault {
		s.faults = append(s.faults, e)
	} else {
		s.lines = append(s.lines, e)
	}
}

func (s *checkSheet) print() {
	for _, e := range append(s.lines, s.faults...) {
		e.print(s.lab)
	}
}

// asked is what systems and targets answered.
func (s *checkSheet) asked(expired []string, a asked) {
	for _, e := range expired {
		s.add(false, "note  ", e+": renew it in site.star, or act on it", "")
	}
	for _, n := range a.systems {
		s.fault(n)
	}
	for _, t := range a.targets {
		if t.Refused() {
			s.add(true, "FAULT ", "target "+t.Text(), t.Hint)
		}
	}
	whole := len(s.faults) == 0 // how full targets are is not what is looked for beside a fault
	for _, t := range a.targets {
		switch {
		case a.missed != nil && a.missed(t):
			s.add(false, notTried, "target "+t.Text(), t.Hint)
		case whole || t.Error != "" && !t.Refused() && t.Code != "E_MEDIA_ABSENT": // a medium travels
			s.add(false, "space ", t.Text(), "")
		}
	}
}

func (s *checkSheet) fault(n preflight.Fault) {
	word := "FAULT "
	if n.Note {
		word = "note  "
	}
	s.add(!n.Note, word, n.System+": "+strings.TrimPrefix(n.Text, n.System+": "), n.Hint)
}

func (s *checkSheet) policy(c *checked) {
	if len(c.Faults) == 0 {
		s.add(false, "ok    ", fmt.Sprintf("%s: %d files, code %.12s", c.Policy, c.Files, c.Code), "")
	} else {
		s.add(true, "FAULT ", c.Policy+"\n"+strings.Join(c.Faults, "\n"), "")
	}
	for _, t := range c.Notes {
		s.add(false, "note  ", t, "")
	}
	for _, t := range c.Warnings {
		s.add(false, "warn  ", t, "")
	}
}
