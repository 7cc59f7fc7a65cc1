"""Send every client a number, ten times a second, as the counter of the Migrate paper does (section VI-B).

python examples/counter/plain.py 7000
nc localhost 7000
"""

import asyncio
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, index: int = 0) -> None:
    while True:
        writer.write(b"%d\n" % index)
        index += 1
        await writer.drain()
        await asyncio.sleep(0.1)


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, port=port)
    await server.serve_forever()


if len(sys.argv) != 2:
    sys.exit(f"usage: python {sys.argv[0]} PORT")
asyncio.run(main(int(sys.argv[1])))
