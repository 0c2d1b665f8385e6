package policytest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
)

func outcomes() []Outcome {
	return []Outcome{
		{Name: "p/a_test.star/test_x/one", File: "p/a_test.star", Test: "test_x", Case: "one", At: "p/a_test.star:3:1", Millis: 1.5},
		{Name: "p/a_test.star/test_x/two, too", File: "p/a_test.star", Test: "test_x", Case: "two, too", At: "p/a_test.star:3:1", Millis: 0.5,
			Failures: []Failure{
				{At: "p/a_test.star:5:9", Text: "got \"<&\x01\", want 100 %\n::error::x", Policy: "p/a.star:7:2",
					More: []string{"p/a.star:7:2: make()"}},
				{Text: "the fault make() never happened"},
			}},
		Broken("p/b_test.star", errors.New("no test in it")),
	}
}

func reported(t *testing.T, format string, verbose bool, root string) string {
	t.Helper()
	var b bytes.Buffer
	r, err := NewReport(format, &b, verbose, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range outcomes() {
		r.Add(o)
	}
	if err := r.End(Tally{Passed: 1, Failed: 2, Files: 2}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPretty(t *testing.T) {
	got := reported(t, "pretty", true, "")
	for _, want := range []string{"ok   p/a_test.star/test_x/one (1.5 ms)\n",
		"FAIL p/a_test.star/test_x/two, too\n     p/a_test.star:5:9: got",
		"\n       p/a.star:7:2: make()\n     the fault make() never happened\n", "FAIL p/b_test.star\n     no test in it\n1 passed, 2 failed " +
			"(2 files)\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if strings.Contains(reported(t, "", false, ""), "ok  ") {
		t.Error("cases that passed are listed though nobody asked for them")
	}
}

// A workflow command is a line: whatever a test says, it stays in the line of its failure.
func TestGitHub(t *testing.T) {
	got := reported(t, "github", false, "")
	want := "::error file=p/a_test.star,line=5,col=9,title=p/a_test.star/test_x/two%2C too::p/a_test.star:5:9: got \"<&\x01\", want 100 " +
		"%25%0A::error::x%0A  p/a.star:7:2: make()\n" +
		"::error file=p/a_test.star,line=3,col=1,title=p/a_test.star/test_x/two%2C too::the fault make() never happened\n" +
		"::error file=p/b_test.star,title=p/b_test.star::no test in it\n1 passed, 2 failed (2 files)\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	dir := t.TempDir()
	t.Chdir(dir)
	if got := (&github{root: dir}).relative("p/a_test.star"); got != "p/a_test.star" {
		t.Errorf("below the root: got %q", got)
	}
	t.Chdir("/")
	if got := (&github{root: dir}).relative(dir + "/p/a_test.star"); got != "p/a_test.star" {
		t.Errorf("from elsewhere: got %q", got)
	}
	if got := (&github{root: dir}).relative("p/a_test.star"); got != "p/a_test.star" {
		t.Errorf("outside of the root: got %q", got)
	}
}

func TestJUnit(t *testing.T) {
	got := reported(t, "junit", false, "")
	var doc struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Name     string  `xml:"name,attr"`
			Tests    int     `xml:"tests,attr"`
			Failures int     `xml:"failures,attr"`
			Errors   int     `xml:"errors,attr"`
			Time     float64 `xml:"time,attr"`
			Cases    []struct {
				Name    string  `xml:"name,attr"`
				Class   string  `xml:"classname,attr"`
				File    string  `xml:"file,attr"`
				Line    string  `xml:"line,attr"`
				Time    float64 `xml:"time,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
					Text    string `xml:",chardata"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(got), &doc); err != nil {
		t.Fatalf("it is no XML: %v\n%s", err, got)
	}
	if doc.Tests != 3 || doc.Failures != 2 || len(doc.Suites) != 2 {
		t.Fatalf("got %+v", doc)
	}
	a, b := doc.Suites[0], doc.Suites[1]
	if a.Name != "p/a_test.star" || a.Tests != 2 || a.Failures != 1 || a.Errors != 0 || a.Time != 0.002 {
		t.Errorf("got %+v", a)
	}
	if one := a.Cases[0]; one.Name != "test_x/one" || one.Class != "p/a_test" || one.File != "p/a_test.star" || one.Line != "3" ||
		one.Time != 0.0015 || one.Failure != nil {
		t.Errorf("got %+v", one)
	}
	if two := a.Cases[1].Failure; two == nil || !strings.HasPrefix(two.Message, "got \"<&\uFFFD\"") ||
		!strings.Contains(two.Text, "p/a.star:7:2: make()") || !strings.Contains(two.Text, "never happened") {
		t.Errorf("got %+v", two)
	}
	if b.Cases[0].Name != "the file" || b.Cases[0].Failure.Message != "no test in it" {
		t.Errorf("got %+v", b)
	}
}

func TestJSON(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(reported(t, "json", false, "")), "\n")
	var o Outcome
	if len(lines) != 3 {
		t.Fatalf("got %d lines, want 3", len(lines))
	}
	if err := json.Unmarshal([]byte(lines[1]), &o); err != nil || o.Case != "two, too" || o.Failures[0].At != "p/a_test.star:5:9" ||
		o.Failures[0].Policy != "p/a.star:7:2" {
		t.Errorf("got %+v, %v", o, err)
	}
}

func TestAnUnknownFormat(t *testing.T) {
	if _, err := NewReport("tap", nil, false, ""); err == nil || err.Error() != `no format "tap": want pretty, junit, github, json` {
		t.Errorf("got %v", err)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A report that could not be written is none: CI would read the half of it.
func TestAReportThatCannotBeWritten(t *testing.T) {
	for _, format := range Formats() {
		r, err := NewReport(format, full{}, true, "")
		if err != nil {
			t.Fatal(err)
		}
		r.Add(outcomes()[1])
		if err := r.End(Tally{Failed: 1}); err == nil {
			t.Errorf("%s: got no error", format)
		}
	}
}
