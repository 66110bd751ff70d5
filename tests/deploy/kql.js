// Microsoft's own Kusto parser and analyser. Each line of standard input is a request,
// {"tables": {table: {column: type}}, "functions": {name: [parameters, body]}, "queries": [text]},
// answered by a line with one {"problems": [text], "columns": {name: type}} for each query. It ends
// with its input: to load the analyser takes longer than to ask it.
const [folder] = process.argv.slice(2);
global.Bridge = require(`${folder}/bridge.min.js`);
require(`${folder}/Kusto.Language.Bridge.min.js`);
const { KustoCode, GlobalState, Symbols } = Kusto.Language;

function analyse({ tables, functions, queries }) {
  const symbols = Object.entries(tables).map(([name, columns]) => {
    const schema = Object.entries(columns).map(([column, type]) => `['${column}']:${type}`);
    return new Symbols.TableSymbol.$ctor7(name, `(${schema.join(", ")})`, null);
  });
  for (const [name, [parameters, body]] of Object.entries(functions))
    symbols.push(new Symbols.FunctionSymbol.$ctor16(name, parameters, `{${body}\n}`, null));
  const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", symbols));

  return queries.map((query) => {
    const code = KustoCode.ParseAndAnalyze(query, globals);
    const problems = [];
    for (const each = Bridge.getEnumerator(code.GetDiagnostics()); each.moveNext(); )
      problems.push(`${each.Current.Severity}: ${each.Current.Message}`);
    const columns = {};
    const found = code.ResultType && code.ResultType.Columns;
    for (let index = 0; found && index < found.Count; index++) {
      const column = found.getItem(index);
      columns[column.Name] = column.Type.Name;
    }
    return { problems, columns };
  });
}

const requests = require("readline").createInterface({ input: process.stdin });
requests.on("line", (line) => process.stdout.write(`${JSON.stringify(analyse(JSON.parse(line)))}\n`));
