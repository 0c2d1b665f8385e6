package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/neosofia/runner/builtins/site"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/policytest"
	"github.com/neosofia/runner/runtime/words"
	"github.com/neosofia/runner/stdlib"
	"github.com/spf13/cobra"
)

func builtinsCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "builtins [NAME]", Short: "all that policies, sites and tests can say, with arguments and examples", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, d := range builtins.All() {
				names = append(names, d.Info().Name)
			}
			for _, w := range (&flags{}).words() {
				names = append(names, w.Name)
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return f.listBuiltins()
			}
			for _, d := range builtins.All() {
				if d.Info().Name == args[0] {
					return f.describe(d.Info())
				}
			}
			for _, c := range site.Docs() {
				if c.Name == args[0] && f.json {
					return json.NewEncoder(os.Stdout).Encode(builtinJSON{Name: c.Name, Doc: c.Doc, Params: paramsJSON(c.Params)})
				}
				if c.Name == args[0] {
					var b strings.Builder
					printSignature(&b, c.Name, c.Params)
					fmt.Fprintf(&b, "\n%s: %s (site.star)\n", c.Name, c.Doc)
					if printParams(&b, c.Params); c.Name == "target" {
						fmt.Fprintf(&b, "\n%s\n", site.TargetNotes)
					}
					fmt.Print(document(b.String(), os.Stdout))
					return nil
				}
			}
			for _, w := range f.words() {
				if w.Name == args[0] {
					return f.describeWord(w)
				}
			}
			if w, found, err := libraryWord(args[0]); err != nil || found {
				return errors.Join(err, f.describeWord(w))
			}
			return usage("no builtin is named %q\nhint: runner builtins lists them", args[0])
		},
	}
}

func (f *flags) listBuiltins() error {
	if f.json {
		all := struct {
			Primitives   []builtinJSON `json:"primitives"`
			Constructors []builtinJSON `json:"constructors"`
			Steering     []builtinJSON `json:"steering"`
			Library      []builtinJSON `json:"library"`
			Tests        []builtinJSON `json:"tests"`
		}{}
		for _, d := range builtins.All() {
			all.Primitives = append(all.Primitives, jsonOf(d.Info()))
		}
		for _, c := range site.Docs() {
			all.Constructors = append(all.Constructors, builtinJSON{Name: c.Name, Doc: c.Doc, Params: paramsJSON(c.Params)})
		}
		for _, w := range runtime.Words() {
			all.Steering = append(all.Steering, wordJSON(steering(w)))
		}
		library, err := stdlib.Docs()
		if err != nil {
			return err
		}
		for _, d := range library {
			all.Library = append(all.Library, wordJSON(libraryOf(d)))
		}
		for _, w := range policytest.Words() {
			all.Tests = append(all.Tests, wordJSON(ofTest(w)))
		}
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	var b strings.Builder
	fmt.Fprintln(&b, "primitives (policies, inside main):")
	for _, d := range builtins.All() {
		i := d.Info()
		fmt.Fprintf(&b, "  %-14s %-8s %s\n", i.Name, i.Kind, firstSentence(i.Doc))
	}
	fmt.Fprintln(&b, "\nsteering (policies, inside main; policy(...) at the top level):")
	for _, w := range runtime.Words() {
		fmt.Fprintf(&b, "  %-14s %-8s %s\n", w.Name, "", firstClause(w.Doc))
	}
	library, err := stdlib.Docs()
	if err != nil {
		return err
	}
	fmt.Fprintln(&b, "\nlibrary (policies, after its load):")
	for _, d := range library {
		fmt.Fprintf(&b, "  %-14s %-8s %s  load(%q, %q)\n", d.Name, "", strings.TrimSuffix(firstLine(d.Doc), "."), d.Label, d.Name)
	}
	fmt.Fprintln(&b, "\nconstructors (site.star):")
	for _, c := range site.Docs() {
		fmt.Fprintf(&b, "  %-14s %-8s %s\n", c.Name, "", c.Doc)
	}
	fmt.Fprintln(&b, "\ntests (files *_test.star; run them with runner test):")
	for _, w := range policytest.Words() {
		fmt.Fprintf(&b, "  %-14s %-8s %s\n", w.Name, "", w.Doc)
	}
	fmt.Print(document(b.String(), os.Stdout))
	return nil
}

// word is what can be said beside primitives and constructors.
type word struct{ Name, Args, Doc, More, Where, Example string }

func steering(w runtime.Word) word {
	where := "policies, inside main"
	if w.Top {
		where = "policies, at the top level"
	}
	return word{w.Name, w.Args, w.Name + ": " + w.Doc, "", where, w.Example}
}

func ofTest(w policytest.Word) word {
	return word{w.Name, w.Args, w.Name + ": " + w.Doc, "", "files *_test.star", w.Example}
}

func libraryOf(d stdlib.Doc) word {
	return word{d.Name, d.Args, d.Name + ": " + d.Doc, d.More, fmt.Sprintf("load(%q, %q)", d.Label, d.Name), d.Example}
}

// words are those of policies and of tests; time stands for what is in it.
func (f *flags) words() (out []word) {
	for _, w := range runtime.Words() {
		out = append(out, steering(w))
	}
	for _, w := range policytest.Words() {
		out = append(out, ofTest(w))
	}
	return append(out, word{"time", "parse, unix, duration",
		"time: moments and durations, without a clock: time.parse, time.unix and time.duration are explained by their names", "", "policies", `
log(text = "%d" % time.parse("2026-03-31").year)`})
}

func libraryWord(name string) (w word, found bool, err error) {
	library, err := stdlib.Docs()
	for _, d := range library {
		if d.Name == name {
			return libraryOf(d), true, err
		}
	}
	return w, false, err
}

func wordJSON(w word) builtinJSON {
	_, doc, _ := strings.Cut(w.Doc, ": ")
	return builtinJSON{Name: w.Name, Doc: doc, Example: strings.TrimSpace(w.Example), Params: []paramJSON{}}
}

func (f *flags) describeWord(w word) error {
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(wordJSON(w))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s(%s)\n\n%s (%s)\n", w.Name, w.Args, w.Doc, w.Where)
	if w.More != "" {
		fmt.Fprintf(&b, "\n%s\n", w.More)
	}
	fmt.Print(document(b.String(), os.Stdout))
	fmt.Printf("example:\n    %s\n", strings.ReplaceAll(strings.TrimSpace(w.Example), "\n", "\n    "))
	return nil
}

func firstClause(doc string) string {
	text, _, _ := strings.Cut(doc, ". ")
	return text
}

func firstLine(doc string) string {
	line, _, _ := strings.Cut(doc, "\n")
	return line
}

// builtinJSON is a builtin as programs read it.
type builtinJSON struct {
	Name     string      `json:"name"`
	Doc      string      `json:"doc"`
	Kind     string      `json:"kind,omitempty"`   // read, write, destroy; "" of a constructor
	Resume   string      `json:"resume,omitempty"` // retry, probe, fail
	Returns  string      `json:"returns,omitempty"`
	Example  string      `json:"example,omitempty"`
	Attempts int         `json:"attempts,omitempty"` // of temporary errors
	Params   []paramJSON `json:"params"`
	Codes    []codeJSON  `json:"codes,omitempty"`
}

type paramJSON struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Optional bool   `json:"optional,omitempty"`
	Doc      string `json:"doc"`
}

type codeJSON struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

func jsonOf(i runtime.Info) builtinJSON {
	b := builtinJSON{Name: i.Name, Doc: i.Doc, Kind: i.Kind.String(), Resume: i.Resume.String(), Returns: i.Returns, Example: i.Example,
		Attempts: i.Retries.Attempts, Params: paramsJSON(i.Params)}
	for _, c := range i.Codes {
		b.Codes = append(b.Codes, codeJSON(c))
	}
	return b
}

func paramsJSON(params []runtime.Param) []paramJSON {
	out := []paramJSON{}
	for _, p := range params {
		out = append(out, paramJSON{p.Name, p.Type, p.Optional, p.Doc})
	}
	return out
}

func firstSentence(doc string) string {
	line, _, _ := strings.Cut(doc, "\n")
	_, text, ok := strings.Cut(line, ": ")
	if !ok {
		return line
	}
	return text
}

func (f *flags) describe(i runtime.Info) error {
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(jsonOf(i))
	}
	var b strings.Builder
	printSignature(&b, i.Name, i.Params)
	if i.Returns != "" {
		fmt.Fprintf(&b, " -> %s", i.Returns)
	}
	fmt.Fprintf(&b, "\n\n%s\n", i.Doc)
	printParams(&b, i.Params)
	fmt.Fprintf(&b, "\nkind: %s; after a crash: %s\n", i.Kind, i.Resume)
	if i.Retries.Attempts > 1 {
		fmt.Fprintf(&b, "temporary errors: %d attempts, the first pause %s\n", i.Retries.Attempts, words.Span(i.Retries.Wait))
	}
	fmt.Fprintf(&b, "example: %s\n", i.Example)
	if len(i.Codes) > 0 {
		fmt.Fprintln(&b, "\ncodes that catch() can see:")
		codes := append([]failure.Code(nil), i.Codes...)
		sort.Slice(codes, func(a, b int) bool { return codes[a].Name < codes[b].Name })
		for _, c := range codes {
			fmt.Fprintf(&b, "  %-20s %s\n", c.Name, c.Doc)
		}
	}
	fmt.Print(document(b.String(), os.Stdout))
	return nil
}

func printSignature(w io.Writer, name string, params []runtime.Param) {
	var parts []string
	for _, p := range params {
		text := p.Name
		if p.Optional {
			text += "?"
		}
		parts = append(parts, text)
	}
	fmt.Fprintf(w, "%s(%s)", name, strings.Join(parts, ", "))
}

func printParams(w io.Writer, params []runtime.Param) {
	if len(params) > 0 {
		fmt.Fprintln(w)
	}
	for _, p := range params {
		kind := p.Type
		if p.Optional {
			kind += ", optional"
		}
		fmt.Fprintf(w, "  %-20s %s (%s)\n", p.Name, p.Doc, kind)
	}
}
