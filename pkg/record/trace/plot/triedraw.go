package plot

import (
	"fmt"
	"strconv"
)

// Trie shows counts as a tree of directories: of each how many opens there were
// in it and below. The nodes with most are shown, rows of them; 0: TrieRows.
func Trie(counts []Count, rows int) *Picture {
	const title = "Opens by directory"
	if len(counts) == 0 {
		return message(title, "No file was opened.")
	}
	root := newTrie(counts)
	root.show(atMost(rows, TrieRows))
	list := root.lines(0, nil)
	f := newFaces()
	const height, indent, barWidth, gap, maxIndents = 17.0, 18.0, 120.0, 10.0, 16
	countWidth := f.width(strconv.Itoa(root.opens), textSize)
	x0 := countWidth + gap + barWidth + gap
	labels := make([]string, len(list))
	p := &Picture{Title: title, faces: f, height: height * float64(len(list))}
	at := func(r treeRow) float64 { return x0 + indent*float64(min(r.depth, maxIndents)) }
	for i, r := range list {
		labels[i] = f.fit(r.label(), textSize, 560)
		p.width = max(p.width, at(r)+f.width(labels[i], textSize))
	}
	p.Notes = []string{fmt.Sprintf("How often files were opened, by full path: %s of %s. Directories with one entry are joined with it.", count(root.opens, "open"), count(root.paths, "path"))}
	p.draw = func(p *pen) {
		for i, r := range list {
			y := height*float64(i) + height/2
			p.text(countWidth, y, textSize, right, soft, strconv.Itoa(r.opens))
			p.tip = fmt.Sprintf("%s: %s, %s", visible(r.full()), count(r.opens, "open"), count(r.paths, "path"))
			ofBar := bar
			if r.dir || r.rest {
				ofBar = step0 + 4
			}
			p.rect(countWidth+gap, y-5, max(1, barWidth*float64(r.opens)/float64(max(1, root.opens))), 10, ofBar)
			if r.depth > 0 {
				x := at(r) - indent + 5
				p.lines(1, line, x, y, at(r)-3, y)
			}
			ofName := text
			if r.rest {
				ofName = soft
			} else {
				p.tip = r.full()
			}
			p.text(at(r), y, textSize, left, ofName, labels[i])
		}
		for i, r := range list { // from each directory down to its last entry
			last := 0
			for k := i + 1; k < len(list) && list[k].depth > r.depth; k++ {
				if list[k].depth == r.depth+1 {
					last = k
				}
			}
			if last > 0 && r.depth < maxIndents {
				p.lines(1, line, at(r)+5, height*float64(i+1), at(r)+5, height*float64(last)+height/2)
			}
		}
	}
	return p
}
