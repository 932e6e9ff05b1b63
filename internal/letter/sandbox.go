package letter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"
	"unicode/utf8"
)

// How deep a template may be. html/template looks at the body of a range twice, so a range in a range in a range
// and so on costs it twice as much a level; and a loop's cost multiplies with that of its loops.
const (
	maxDepth  = 20   // of if, with, range and parentheses in each other
	maxRanges = 2    // of ranges in each other
	maxNodes  = 8000 // of all that a part consists of
)

// What a part is changed to call, and no template can.
const (
	callEach  = "_each"  // before each range
	callWrite = "_write" // before each value is written
)

const noDefinitions = "define, block and template aren't taken: a template is one piece"

// read parses a part, refuses what could hurt, and puts what counts its steps before loops and values.
func read(part, source string) (*sheet, error) {
	s := &sheet{part: part, source: source}
	if len(source) > MaxSource {
		return nil, &Error{Part: part, Detail: "is longer than 64 KiB"}
	}
	if part == partSubject && utf8.RuneCountInString(source) > MaxHeading {
		return nil, &Error{Part: part, Detail: "is longer than 2000 characters"}
	}
	if !utf8.ValidString(source) {
		return nil, &Error{Part: part, Detail: "is no Unicode text"}
	}
	trees := make(map[string]*parse.Tree)
	tree := parse.New(part)
	// The walk names functions that there aren't, with their places.
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(source, "", "", trees); err != nil {
		return nil, s.parseError(err)
	}
	// A definition leaves a tree of its own, or this one without a root.
	for name, defined := range trees {
		if name != part {
			return nil, s.at(int(defined.Root.Position()), noDefinitions)
		}
		tree = defined
	}
	s.tree = tree
	w := walk{sheet: s}
	w.list(tree.Root, place{})
	w.pieces()
	if w.err != nil {
		return nil, w.err
	}
	s.weight = w.weight
	return s, nil
}

// A walk goes through a part once. It keeps the first fault.
type walk struct {
	sheet  *sheet
	nodes  int
	weight int // of what has been seen since the innermost range began
	err    *Error
	markup markup
}

// A place is where the walk is.
type place struct{ depth, ranges int }

func (w *walk) refuse(n parse.Node, format string, args ...any) {
	w.refuseAt(int(n.Position()), format, args...)
}

func (w *walk) refuseAt(pos int, format string, args ...any) {
	if w.err == nil {
		w.err = w.sheet.at(pos, fmt.Sprintf(format, args...))
	}
}

func (w *walk) count(n parse.Node, p place) bool {
	w.nodes++
	w.weight++
	switch {
	case w.nodes > maxNodes:
		w.refuse(n, "consists of more than %d pieces", maxNodes)
	case p.depth > maxDepth:
		w.refuse(n, "is nested more than %d deep", maxDepth)
	}
	return w.err == nil
}

func (w *walk) list(l *parse.ListNode, p place) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		if !w.count(n, p) {
			return
		}
		w.node(n, p)
	}
}

func (w *walk) node(n parse.Node, p place) {
	deeper := place{p.depth + 1, p.ranges}
	switch n := n.(type) {
	case *parse.CommentNode, *parse.BreakNode, *parse.ContinueNode:
	case *parse.TextNode:
		if w.sheet.part == partHTML {
			w.piece(n, p)
		}
	case *parse.ActionNode:
		name := written(n.Pipe)
		w.pipe(n.Pipe, p)
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, call(n.Pipe.Pos, callWrite, len(w.sheet.values)))
			w.sheet.values = append(w.sheet.values, name)
		}
	case *parse.IfNode:
		w.branch(&n.BranchNode, deeper)
	case *parse.WithNode:
		w.branch(&n.BranchNode, deeper)
	case *parse.RangeNode:
		w.loop(n, place{p.depth + 1, p.ranges + 1})
	case *parse.TemplateNode:
		w.refuse(n, noDefinitions)
	default:
		w.refuse(n, "%s isn't taken", excerpt(n.String()))
	}
}

func (w *walk) branch(b *parse.BranchNode, p place) {
	w.pipe(b.Pipe, p)
	w.list(b.List, p)
	w.list(b.ElseList, p)
}

// loop has each range pay for all that it goes through before it begins: the weight of its body as often as it
// is gone through, and what the ranges in it cost when they are met.
func (w *walk) loop(n *parse.RangeNode, p place) {
	if p.ranges > maxRanges {
		w.refuse(n, "range stands in a range that stands in a range; %d in each other are the most", maxRanges)
		return
	}
	name := written(n.Pipe)
	w.pipe(n.Pipe, p)
	outside := w.weight
	w.weight = 1
	w.list(n.List, p)
	n.Pipe.Cmds = append(n.Pipe.Cmds, call(n.Pipe.Pos, callEach, w.weight, len(w.sheet.values)))
	w.sheet.values = append(w.sheet.values, name)
	w.weight = outside
	w.list(n.ElseList, p)
}

func (w *walk) pipe(pipe *parse.PipeNode, p place) {
	for _, command := range pipe.Cmds {
		if !w.count(command, p) {
			return
		}
		for _, arg := range command.Args {
			w.argument(arg, p)
		}
	}
}

func (w *walk) argument(n parse.Node, p place) {
	if !w.count(n, p) {
		return
	}
	switch n := n.(type) {
	case *parse.DotNode, *parse.NilNode, *parse.BoolNode, *parse.StringNode:
	case *parse.NumberNode:
		if !n.IsInt && !n.IsFloat {
			w.refuse(n, "%s is a number that isn't taken", excerpt(n.Text))
		}
	case *parse.FieldNode:
		w.fields(n, len(n.Ident))
	case *parse.VariableNode:
		w.fields(n, len(n.Ident))
	case *parse.ChainNode:
		w.fields(n, len(n.Field))
		w.argument(n.Node, place{p.depth + 1, p.ranges})
	case *parse.PipeNode:
		w.pipe(n, place{p.depth + 1, p.ranges})
	case *parse.IdentifierNode:
		if !slices.Contains(functionNames, n.Ident) {
			w.refuse(n, "there is no function %s; there are %s", excerpt(n.Ident), strings.Join(functionNames, ", "))
		}
	default:
		w.refuse(n, "%s isn't taken", excerpt(n.String()))
	}
}

// fields counts the names of .a.b.c, each of which is looked up.
func (w *walk) fields(n parse.Node, names int) {
	w.weight += names
	if w.nodes += names; w.nodes > maxNodes {
		w.refuse(n, "consists of more than %d pieces", maxNodes)
	}
}

// call is a command that hands the value of the pipeline before it to one of our functions, after numbers.
func call(pos parse.Pos, name string, numbers ...int) *parse.CommandNode {
	c := &parse.CommandNode{NodeType: parse.NodeCommand, Pos: pos, Args: []parse.Node{parse.NewIdentifier(name).SetPos(pos)}}
	for _, n := range numbers {
		c.Args = append(c.Args, &parse.NumberNode{NodeType: parse.NodeNumber, Pos: pos, IsInt: true, Int64: int64(n), Text: strconv.Itoa(n)})
	}
	return c
}

// written is a pipeline as its template has it, for errors.
func written(pipe *parse.PipeNode) string { return "{{" + excerpt(pipe.String()) + "}}" }
