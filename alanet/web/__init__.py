"""The page: upload a video, compare before and after at one time, restore it, download the result.

browser -> safety (who may ask for what) -> page (Gradio) and routes (files) -> jobs (disk) <- worker (one at a time)
"""
