package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"

	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
	"github.com/neosofia/runner/runtime/words"
	"github.com/spf13/cobra"
)

func planCommand(f *flags) *cobra.Command {
	var args []string
	c := &cobra.Command{
		Use: "plan POLICY.star", Short: "show what a run would do; nothing can be changed",
		Long: "plan runs a policy with every write and destroy replaced by its plan: they are not called. Reads are done. Where the policy " +
			"would have to look at the outcome of an effect, the plan ends and says where.",
		Args: oneArg("POLICY.star"), ValidArgsFunction: onePolicy,
		RunE: func(c *cobra.Command, pos []string) error {
			named, err := namedArgs(args)
			if err != nil {
				return err
			}
			return f.plan(c.Context(), pos[0], named)
		},
	}
	c.Flags().StringArrayVar(&args, "arg", nil, "argument of main: name=value")
	return c
}

type planLine struct {
	Step      string          `json:"step"`
	Primitive string          `json:"primitive"`
	Kind      string          `json:"kind"`
	Args      json.RawMessage `json:"args"`
}

func (f *flags) plan(ctx context.Context, policy string, args map[string]string) (err error) {
	boundData()
	s, err := f.session()
	if err != nil {
		return err
	}
	defer s.done(&err)
	if err := s.openSite(policy); err != nil {
		return err
	}
	program, err := s.load(policy)
	if err != nil {
		return err
	}
	if err := fits(program, args); err != nil {
		return err
	}
	if err := s.openLedger(ctx, false); err != nil {
		s.ledger = ledger.New(ledger.NewMemory())
	}
	if err := s.openWorld(ctx); err != nil {
		return err
	}
	var lines []planLine
	var reported []runtime.Event
	out, err := runtime.Exec(ctx, runtime.Config{Program: program, Ledger: s.ledger, Mode: runtime.Plan, Demands: s.site.Demands,
		Allowed: s.site.Allowed,
		World:   s.world, Args: args, Observe: serial(func(e runtime.Event) {
			switch e.Kind {
			case runtime.EventBegin:
				lines = append(lines, planLine{e.Step, e.Primitive, e.Text, e.Args})
			case runtime.EventLog:
				reported = append(reported, e)
			}
		})})
	if err != nil {
		return err
	}
	sort.SliceStable(reported, func(i, j int) bool { return stepLess(reported[i].Step, reported[j].Step) })
	var notes []string
	for _, e := range reported {
		if !slices.Contains(notes, e.Text) { // steps alike say the same
			notes = append(notes, e.Text)
		}
	}
	if out.PlanEnd != "" && !slices.Contains(notes, out.PlanEnd) { // each branch that ends at one place says it
		notes = append(notes, out.PlanEnd)
	}
	sort.SliceStable(lines, func(i, j int) bool { return stepLess(lines[i].Step, lines[j].Step) })
	if err := f.printPlan(lines, notes); err != nil {
		return err
	}
	return out.Err
}

func (f *flags) printPlan(lines []planLine, notes []string) error {
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"steps": lines, "notes": notes, "lab": f.lab})
	}
	out := sheet{lab: labMark(f.lab)}
	mark := map[string]string{"read": " ", "write": "+", "destroy": "-"}
	for _, l := range lines {
		out.print(mark[l.Kind]+fmt.Sprintf(" %-14s ", l.Step), callText(l.Primitive, l.Args))
	}
	for _, n := range notes {
		out.print("  ", n)
	}
	out.print("", fmt.Sprintf("%d steps; + makes something, - removes something; nothing was changed", len(lines)))
	return nil
}

func labMark(lab bool) string {
	if lab {
		return "LAB "
	}
	return ""
}

// stepLess orders step ids as a reader counts.
func stepLess(a, b string) bool { return runtime.StepKey(a) < runtime.StepKey(b) }

// callText shows a call with its arguments, as a policy would write it.
func callText(name string, raw json.RawMessage) string {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return name + "(…)"
	}
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var parts []string
	for _, k := range keys {
		parts = append(parts, k+" = "+argText(m[k]))
	}
	text := name + "(" + strings.Join(parts, ", ") + ")"
	if len(text) > 100 {
		text = strings.ToValidUTF8(text[:97], "") + "…)"
	}
	return text
}

// shownIDs is how many artifacts of a list are named.
const shownIDs = 2

func isArtifact(v any) bool {
	m, ok := v.(map[string]any)
	_, has := m["id"].(string)
	return ok && has
}

func argText(v any) string {
	switch v := v.(type) {
	case map[string]any:
		if id, ok := v["id"].(string); ok {
			return id
		}
	case []any:
		var parts []string
		if n := len(v) - shownIDs; n > 1 && isArtifact(v[0]) {
			for _, e := range v[:shownIDs] {
				parts = append(parts, argText(e))
			}
			return fmt.Sprintf("[%s and %d more]", strings.Join(parts, ", "), n)
		}
		for _, e := range v {
			parts = append(parts, argText(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return words.Argument(v)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(raw)
}
