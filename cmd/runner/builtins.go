package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/policytest"
	"github.com/spf13/cobra"
)

func builtinsCommand(f *flags) *cobra.Command {
	return &cobra.Command{
		Use: "builtins [NAME]", Short: "the primitives of policies, the constructors of sites and the words of tests, with their arguments", Args: cobra.MaximumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var names []string
			for _, d := range builtins.All() {
				names = append(names, d.Info().Name)
			}
			for _, w := range policytest.Words() {
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
			for _, c := range builtins.Constructors() {
				if c.Name == args[0] && f.json {
					return json.NewEncoder(os.Stdout).Encode(builtinJSON{Name: c.Name, Doc: c.Doc, Params: paramsJSON(c.Params)})
				}
				if c.Name == args[0] {
					printSignature(os.Stdout, c.Name, c.Params)
					fmt.Printf("\n%s: %s (site.star)\n", c.Name, c.Doc)
					printParams(os.Stdout, c.Params)
					return nil
				}
			}
			for _, w := range policytest.Words() {
				if w.Name == args[0] {
					return f.describeWord(w)
				}
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
			Tests        []builtinJSON `json:"tests"`
		}{}
		for _, d := range builtins.All() {
			all.Primitives = append(all.Primitives, jsonOf(d.Info()))
		}
		for _, c := range builtins.Constructors() {
			all.Constructors = append(all.Constructors, builtinJSON{Name: c.Name, Doc: c.Doc, Params: paramsJSON(c.Params)})
		}
		for _, w := range policytest.Words() {
			all.Tests = append(all.Tests, wordJSON(w))
		}
		return json.NewEncoder(os.Stdout).Encode(all)
	}
	fmt.Println("primitives (policies, inside main):")
	for _, d := range builtins.All() {
		i := d.Info()
		fmt.Printf("  %-14s %-8s %s\n", i.Name, i.Kind, firstSentence(i.Doc))
	}
	fmt.Println("\nsteering (policies, inside main):")
	for _, l := range [][2]string{
		{"each", "run independent procedures; a failure of one fails the run and keeps no other from its work"},
		{"parallel", "run calls that need one another's success; results in the order of the list"},
		{"catch", "call a function; struct(ok, value, error) for the codes that primitives declare"},
		{"policy", "declare SOP, section, version and what a run protects, at the top level"},
		{"time", "time.parse(text), time.unix(seconds), time.duration(text); the clock is now()"},
	} {
		fmt.Printf("  %-14s %-8s %s\n", l[0], "", l[1])
	}
	fmt.Println("\nconstructors (site.star):")
	for _, c := range builtins.Constructors() {
		fmt.Printf("  %-14s %-8s %s\n", c.Name, "", c.Doc)
	}
	fmt.Println("\ntests (files *_test.star; run them with runner test):")
	for _, w := range policytest.Words() {
		fmt.Printf("  %-14s %-8s %s\n", w.Name, "", w.Doc)
	}
	return nil
}

func wordJSON(w policytest.Word) builtinJSON {
	return builtinJSON{Name: w.Name, Doc: w.Doc, Example: strings.TrimSpace(w.Example), Params: []paramJSON{}}
}

func (f *flags) describeWord(w policytest.Word) error {
	if f.json {
		return json.NewEncoder(os.Stdout).Encode(wordJSON(w))
	}
	fmt.Printf("%s(%s)\n\n%s: %s (files *_test.star)\nexample:\n", w.Name, w.Args, w.Name, w.Doc)
	fmt.Printf("    %s\n", strings.ReplaceAll(strings.TrimSpace(w.Example), "\n", "\n    "))
	return nil
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
	printSignature(os.Stdout, i.Name, i.Params)
	if i.Returns != "" {
		fmt.Printf(" -> %s", i.Returns)
	}
	fmt.Printf("\n\n%s\n", i.Doc)
	printParams(os.Stdout, i.Params)
	fmt.Printf("\nkind: %s; after a crash: %s\n", i.Kind, i.Resume)
	if i.Retries.Attempts > 1 {
		fmt.Printf("temporary errors: %d attempts, the first pause %v\n", i.Retries.Attempts, i.Retries.Wait)
	}
	fmt.Printf("example: %s\n", i.Example)
	if len(i.Codes) > 0 {
		fmt.Println("\ncodes that catch() can see:")
		codes := append([]failure.Code(nil), i.Codes...)
		sort.Slice(codes, func(a, b int) bool { return codes[a].Name < codes[b].Name })
		for _, c := range codes {
			fmt.Printf("  %-20s %s\n", c.Name, c.Doc)
		}
	}
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
