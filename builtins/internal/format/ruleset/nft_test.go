package ruleset

import (
	"slices"
	"strings"
	"testing"
)

// nftState parses what nft would print of tables given in JSON and text.
func nftState(t *testing.T, objects, text string) *Document {
	t.Helper()
	n, err := ParseNFT([]byte(`{"nftables":[{"metainfo":{"version":"1.0.6"}},` + objects + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	n.SetFlags([]byte(text))
	d := &Document{Vendor: "linux", System: "h", Version: Version}
	if err := d.AddNFT(n); err != nil {
		t.Fatal(err)
	}
	return d
}

const aTable = `{"table":{"family":"inet","name":"t","handle":1,"flags":"t"}},`

func TestTablesAreEqualOrTheyDifferInAPart(t *testing.T) {
	const (
		chainA = `{"chain":{"family":"inet","table":"t","name":"a","handle":1}},`
		chainB = `{"chain":{"family":"inet","table":"t","name":"b","handle":2}},`
		ruleX  = `{"rule":{"family":"inet","table":"t","chain":"a","handle":3,"expr":[{"counter":{"packets":1,"bytes":2}},{"accept":null}]}},`
		ruleY  = `{"rule":{"family":"inet","table":"t","chain":"a","handle":4,"expr":[{"quota":{"val":5,"used":3,"used_unit":"kbytes"}},{"drop":null}]}},`
		set    = `{"set":{"family":"inet","table":"t","name":"s","type":"ipv4_addr","elem":["192.0.2.1","192.0.2.2"]}}`
	)
	for name, c := range map[string]struct{ a, textA, b, textB, want string }{
		"handles, counters and what was used": {a: aTable + chainA + ruleX + ruleY + set,
			b: strings.NewReplacer(`"handle":3`, `"handle":9`, `"packets":1`, `"packets":5`, `"used":3,"used_unit":"kbytes",`,
				"").Replace(aTable + chainA + ruleX + ruleY + set)},
		"the order in which chains were made": {a: aTable + chainA + chainB + set, b: aTable + chainB + chainA + set},
		"the order of elements": {a: aTable + set,
			b: aTable + strings.Replace(set, `"192.0.2.1","192.0.2.2"`, `"192.0.2.2","192.0.2.1"`, 1)},
		"the order of rules": {a: aTable + ruleX + ruleY + set, b: aTable + ruleY + ruleX + set, want: "rules of chain a"},
		"a rule is gone":     {a: aTable + ruleX + ruleY + set, b: aTable + ruleX + set, want: "rules of chain a"},
		"a chain is new":     {a: aTable + chainA + set, b: aTable + chainA + chainB + set, want: "chain b"},
		"an element is gone": {a: aTable + set, b: aTable + strings.Replace(set, `,"192.0.2.2"`, "", 1), want: "set s"},
		"what packets put there": {a: aTable + set, b: aTable + strings.Replace(set, `,"192.0.2.2"`, "", 1),
			textA: "table inet t {\n\tset s {\n\t\tflags dynamic\n\t}\n}\n", textB: "table inet t {\n\tset s {\n\t\tflags dynamic\n\t}\n}\n"},
		"a table that sleeps":   {a: aTable + set, b: aTable + set, textA: "table inet t {\n\tflags dormant\n}\n", want: "table"},
		"a table with an owner": {a: aTable + set, b: aTable + set, textA: "table inet t { # progname x\n\tflags owner,persist\n}\n"},
	} {
		a, err := nftState(t, c.a, c.textA).Listings()
		if err != nil {
			t.Fatal(err)
		}
		b, err := nftState(t, c.b, c.textB).Listings()
		if err != nil {
			t.Fatal(err)
		}
		table := Table{"inet", "t"}
		if got := a[table].Differs(b[table]); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
		if got := b[table].Differs(a[table]); (got == "") != (c.want == "") {
			t.Errorf("%s, the other way: got %q", name, got)
		}
	}
}

func TestTextOfNftIsTakenApartByTable(t *testing.T) {
	const text = "# Warning: table ip nat is managed by iptables-nft, do not touch!\ntable ip nat {\n\tchain a {\n\t}\n}\n" +
		"table inet f { # progname firewalld\n\tflags owner,dormant\n\n\tchain b {\n\t}\n}\ntable netdev cut {\n\tchain c {\n"
	got := Blocks(text)
	if len(got) != 2 || got[Table{"ip", "nat"}] != "table ip nat {\n\tchain a {\n\t}\n}\n" {
		t.Errorf("got %q", got)
	}
	f := got[Table{"inet", "f"}]
	if flags := TableFlags(f); !slices.Equal(flags, []string{"owner", "dormant"}) {
		t.Errorf("got flags %q", flags)
	}
	for got, want := range map[string]string{
		Unowned(f):                          "table inet f {\n\tflags dormant\n\n\tchain b {\n\t}\n}\n",
		Unflagged(f):                        "table inet f {\n\n\tchain b {\n\t}\n}\n",
		Unflagged("table ip x {\n}\n"):      "table ip x {\n}\n",
		Unowned("table ip x {\n\tflags\n}"): "table ip x {\n\tflags\n}",
		Unowned("table ip x {\n\tcomment \"mine\"\n\tflags owner\n\tset s {\n"):    "table ip x {\n\tcomment \"mine\"\n\tset s {\n",
		Unflagged("table ip x {\n\tset s {\n\t\tflags dynamic\n\t}\n\tflags x\n}"): "table ip x {\n\tset s {\n\t\tflags dynamic\n\t}\n\tflags x\n}",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestEachTableHasOnePlace(t *testing.T) {
	legacy := func(d *Document) {
		if err := Add(d, "iptables"+Legacy, true, []string{"*raw", ":OUTPUT DROP", "COMMIT"}); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		edit func(d *Document)
		want string
	}{
		"in a file": {func(d *Document) { d.Checked = []Accepted{{Tables: []string{"inet t"}}} }, ""},
		"a gap":     {func(d *Document) { d.Miss("table inet t", "") }, ""},
		"nowhere":   {func(*Document) {}, "table inet t is in no file that loads, and is not a gap"},
		"in two": {func(d *Document) { d.Checked = []Accepted{{Tables: []string{"inet t"}}, {Tables: []string{"inet t"}}} },
			"table inet t is in 2 places"},
		"of the older tables": {func(d *Document) { legacy(d); d.Miss("table inet t", "") },
			"table iptables-legacy raw is in no file that loads, and is not a gap"},
		"of the older, in a gap": {func(d *Document) { legacy(d); d.Miss("table inet t", ""); d.Miss("table iptables-legacy raw", "") }, ""},
		"version 1":              {func(d *Document) { d.Version = 1 }, ""},
		"another vendor":         {func(d *Document) { d.Vendor = "proxmox" }, ""},
	} {
		d := nftState(t, strings.TrimSuffix(aTable, ","), "")
		c.edit(d)
		got, err := d.Unplaced()
		if err != nil || strings.Join(got, "; ") != c.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, c.want)
		}
	}
}
