package policytest

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Report writes outcomes as somebody or something reads them.
type Report interface {
	Add(o Outcome)
	End(t Tally) error // the first error of writing
}

// Tally counts outcomes.
type Tally struct {
	Passed, Failed, Files int
	Stopped               bool // at the first failure
}

// Formats are the names that NewReport knows.
func Formats() []string { return []string{"pretty", "junit", "github", "json"} }

// NewReport makes the report of a format. verbose lists every case, not only those that
// failed; root is the folder that the files of annotations are named from, or "".
func NewReport(format string, w io.Writer, verbose bool, root string) (Report, error) {
	out := &printer{w: w}
	switch format {
	case "", "pretty":
		return &pretty{out, verbose}, nil
	case "junit":
		return &junit{out: out}, nil
	case "github":
		return &github{out, root}, nil
	case "json":
		return &jsonLines{out}, nil
	}
	return nil, fmt.Errorf("no format %q: want %s", format, strings.Join(Formats(), ", "))
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// pretty is for people.
type pretty struct {
	*printer
	verbose bool
}

func (p *pretty) Add(o Outcome) {
	if len(o.Failures) == 0 {
		if p.verbose {
			p.printf("ok   %s (%.1f ms)\n", o.Name, o.Millis)
		}
		return
	}
	p.printf("FAIL %s\n", o.Name)
	for _, f := range o.Failures {
		p.printf("     %s\n", strings.ReplaceAll(f.String(), "\n", "\n     "))
	}
}

func (p *pretty) End(t Tally) error {
	p.printf("%s\n", t)
	return p.err
}

func (t Tally) String() string {
	text := fmt.Sprintf("%d passed, %d failed (%d files)", t.Passed, t.Failed, t.Files)
	if t.Stopped {
		text += "; stopped at the first failure"
	}
	return text
}

// jsonLines is an object a line for each case.
type jsonLines struct{ *printer }

func (j *jsonLines) Add(o Outcome) {
	if j.err == nil {
		j.err = json.NewEncoder(j.w).Encode(o)
	}
}

func (j *jsonLines) End(Tally) error { return j.err }

// github writes workflow commands: an annotation for each failure.
type github struct {
	*printer
	root string
}

func (g *github) Add(o Outcome) {
	for _, f := range o.Failures {
		at := f.At
		if at == "" {
			at = o.At
		}
		file, line, col := split(at)
		if file == "" {
			file = o.File
		}
		props := "file=" + property(g.relative(file))
		if line != "" {
			props += ",line=" + line + ",col=" + col
		}
		g.printf("::error %s,title=%s::%s\n", props, property(o.Name), data(f.String()))
	}
}

func (g *github) End(t Tally) error {
	g.printf("%s\n", t)
	return g.err
}

// relative names a file as the annotations of a repository do: from its root.
func (g *github) relative(file string) string {
	if g.root == "" {
		return filepath.ToSlash(file)
	}
	abs, err := filepath.Abs(file)
	if err == nil {
		if rel, rerr := filepath.Rel(g.root, abs); rerr == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.ToSlash(file)
}

// split takes "file:line:col" apart.
func split(at string) (file, line, col string) {
	parts := strings.Split(at, ":")
	if len(parts) < 3 {
		return at, "", ""
	}
	n := len(parts)
	return strings.Join(parts[:n-2], ":"), parts[n-2], parts[n-1]
}

// data and property escape what a workflow command would read as its own: nothing that a
// test says can begin another command.
func data(text string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(text)
}

func property(text string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(data(text))
}

// junit is the XML that CI systems read: a suite for each file.
type junit struct {
	out    *printer
	suites []*junitSuite
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Time     string      `xml:"time,attr"`
	File     string      `xml:"file,attr"`
	Cases    []junitCase `xml:"testcase"`

	millis float64
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	File    string        `xml:"file,attr"`
	Line    string        `xml:"line,attr,omitempty"`
	Failure *junitFailure `xml:"failure"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func (j *junit) Add(o Outcome) {
	n := len(j.suites)
	if n == 0 || j.suites[n-1].File != o.File {
		j.suites = append(j.suites, &junitSuite{Name: filepath.ToSlash(o.File), File: o.File})
		n++
	}
	s := j.suites[n-1]
	_, line, _ := split(o.At)
	c := junitCase{Name: strings.TrimSuffix(o.Test+"/"+o.Case, "/"), Class: strings.TrimSuffix(filepath.ToSlash(o.File), ".star"),
		Time: seconds(o.Millis), File: o.File, Line: line}
	if o.Test == "" {
		c.Name = "the file"
	}
	if len(o.Failures) > 0 {
		s.Failures++
		c.Failure = &junitFailure{Message: o.Failures[0].Text, Type: "failure"}
		for _, f := range o.Failures {
			c.Failure.Text += f.String() + "\n"
		}
	}
	s.Tests++
	s.millis += o.Millis
	s.Time = seconds(s.millis)
	s.Cases = append(s.Cases, c)
}

func (j *junit) End(t Tally) error {
	all := struct {
		XMLName  xml.Name      `xml:"testsuites"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
	}{Tests: t.Passed + t.Failed, Failures: t.Failed, Suites: j.suites}
	raw, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return fmt.Errorf("write the JUnit report: %w", err)
	}
	j.out.printf("%s%s\n", xml.Header, raw)
	return j.out.err
}

func seconds(millis float64) string { return fmt.Sprintf("%.6f", millis/1000) }
